"""Looks at the Dockerfile, the compose file, the Kubernetes files and the AWS template with the tools of their worlds.

Run by the Python of `.venv-infra` (`make infra`). Nothing is built, started or sent anywhere. What cannot run here is
said: Docker Compose where its program is for another machine, kustomize where there is no kubectl.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PVM = ROOT / "infra" / "pvm"
K8S = ROOT / "infra" / "k8s"
AWS_TEMPLATE = ROOT / "infra" / "aws" / "template.yaml"
INLINE_BYTES_MAX = 51_200  # of a template that is deployed without a bucket for it
KUBERNETES_OLDEST = "1.30"
SECONDS_MAX = 120


@dataclass(frozen=True)
class Outcome:
    """skipped: why it could not be looked at."""

    what: str
    complaints: str = ""
    skipped: str = ""


def looks() -> Iterator[Outcome]:
    yield looked("Dockerfile, by hadolint", [BIN / "hadolint", ROOT / "Dockerfile"])
    schema = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", PVM / "compose.yaml"]
    yield looked("compose.yaml, by the Compose specification", schema)
    with tempfile.TemporaryDirectory() as folder:
        yield from by_docker_compose(Path(folder))
        yield from by_kubernetes(Path(folder))
    yield looked("AWS template, by cfn-lint", [BIN / "cfn-lint", "--non-zero-exit-code", "informational", AWS_TEMPLATE])
    size = AWS_TEMPLATE.stat().st_size
    yield Outcome("AWS template, its size", complaints="" if size <= INLINE_BYTES_MAX else f"{size} bytes")


def by_docker_compose(folder: Path) -> Iterator[Outcome]:
    """As somebody has it who filled in the example, and as somebody who forgot a password."""
    what = "compose.yaml, by Docker Compose"
    # The script beside the others forgets the exit status.
    program = next(BIN.parent.glob("lib/python*/site-packages/compose/docker-compose"), BIN / "docker-compose")
    if not runs(program):
        yield Outcome(what, skipped="its program does not run on this machine")
        return
    (folder / "infra").mkdir()
    shutil.copytree(PVM, folder / "infra" / "pvm")
    command = [program, "--file", folder / "infra" / "pvm" / "compose.yaml", "config", "--quiet"]
    lines = (PVM / ".env.example").read_text().splitlines()
    needed = [line for line in lines if (line.endswith("=") and "PASSWORD" in line) or line.startswith("S3_SECRET_KEY")]
    filled = [f"{line}abc" if line in needed else line for line in lines]
    for missing in (None, "REELWORK_API_TOKEN", *(line.removesuffix("=") for line in needed)):
        own = [*filled, "REELWORK_API_TOKEN=abc"]
        chosen = [line for line in own if not missing or not line.startswith(f"{missing}=")]
        (folder / "infra" / "pvm" / ".env").write_text("\n".join(chosen))
        found = looked(what if missing is None else f"{what}, without {missing}", command)
        if missing is None:
            yield found
        elif missing not in found.complaints:
            yield Outcome(found.what, complaints="it starts without")
        else:
            yield Outcome(found.what + ", which it asks for")


def by_kubernetes(folder: Path) -> Iterator[Outcome]:
    what = f"Kubernetes files, by the schemas of {KUBERNETES_OLDEST} and of the newest"
    rendered = folder / "rendered.yaml"
    if runs("kubectl"):
        shutil.copytree(K8S, folder / "k8s")
        example = folder / "k8s" / "overlays" / "example"
        for path in example.glob("*.env.example"):
            shutil.copy(path, example / path.name.removesuffix(".example"))
        done = run(["kubectl", "kustomize", example])
        rendered.write_text(done.stdout)
        yield Outcome("Kubernetes files, by kustomize", complaints=done.stderr if done.returncode else "")
    else:
        yield Outcome("Kubernetes files, by kustomize", skipped="there is no kubectl")
        files = sorted(path for path in K8S.rglob("*.yaml") if path.name not in ("kustomization.yaml", "names.yaml"))
        rendered.write_text("\n---\n".join(path.read_text() for path in files))
    complaints = ""
    for version in (["-k", KUBERNETES_OLDEST], []):
        done = run([BIN / "kubernetes-validate", *version, "--strict", "--quiet", "--no-warn", rendered])
        complaints += "" if done.returncode == 0 else done.stdout + done.stderr
    yield Outcome(what, complaints=complaints)


def runs(program: str | Path) -> bool:
    try:
        return run([program, "version"] if program != "kubectl" else ["kubectl", "version", "--client"]).returncode == 0
    except OSError:
        return False


def looked(what: str, command: Sequence[str | Path]) -> Outcome:
    done = run(command)
    return Outcome(what, complaints="" if done.returncode == 0 else (done.stdout + done.stderr).strip() or "refused")


def run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG")}
    return subprocess.run(
        [*map(str, command)], env=kept, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )


def main() -> int:
    status = 0
    for outcome in looks():
        mark = "FAILED" if outcome.complaints else "skipped" if outcome.skipped else "ok"
        print(f"{mark:8}{outcome.what}{': ' + outcome.skipped if outcome.skipped else ''}", flush=True)
        if outcome.complaints:
            print(outcome.complaints, file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
