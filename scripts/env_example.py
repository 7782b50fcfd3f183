"""Writes `infra/pvm/.env.example` from the settings, or with --check says that it differs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import SecretStr

from reelwork.settings import Config

EXAMPLE = Path(__file__).parent.parent / "infra" / "pvm" / ".env.example"
COMPOSE = (
    "# For compose.yaml beside this file, and for nothing else: passwords of the servers that it starts. They stand in",
    "# URLs, so letters and digits only: `openssl rand -hex 24`. It needs REELWORK_API_TOKEN below, too.",
    "POSTGRES_PASSWORD=",
    "RABBITMQ_PASSWORD=",
    "S3_SECRET_KEY=",
    "",
    "# Address of this machine at which compose.yaml publishes the API: 127.0.0.1 for itself, 0.0.0.0 for everybody.",
    "# REELWORK_PUBLISH=127.0.0.1",
    "",
    "# Address of the object store in the links that the API gives away, as a browser reaches it.",
    "# REELWORK_LINKS=http://127.0.0.1:8333",
    "",
    "# Image that compose.yaml runs, and gives to what it builds.",
    "# REELWORK_IMAGE=reelwork:0.1.0",
    "",
)


def text() -> str:
    """Every setting with its default and its meaning; one without a default is commented out."""
    lines = [
        "# Every setting of Reelwork with its default. Copy it to .env and change what you need. Reelwork reads the",
        "# environment, not the file: `set -a; . ./.env; set +a` before `reelwork serve`, or env_file in a unit.",
        "",
        *COMPOSE,
    ]
    for name, setting in Config.model_fields.items():
        lines.append(f"# {setting.description}")
        value = setting.default
        shown = "" if value is None or isinstance(value, SecretStr) else value
        lines.append(f"# {name}=" if value is None else f"{name}={shown}")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where it differs")
    arguments = parser.parse_args()
    if not arguments.check:
        EXAMPLE.parent.mkdir(parents=True, exist_ok=True)
        EXAMPLE.write_text(text())
        return 0
    if not EXAMPLE.exists() or EXAMPLE.read_text() != text():
        print("infra/pvm/.env.example differs from the settings; run `make contracts` and commit it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
