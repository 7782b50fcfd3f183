"""Writes `contracts/` from the code, or with --check says where the two differ.

The code is the source; the files are the promise to others, so a change of a promise shows in a file that is reviewed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from reelwork.api.openapi import openapi_document
from reelwork.events import CATALOGUE, json_schema, schema_name
from reelwork.ledger import ALLOWED_TRANSITIONS
from reelwork.runtime.declaration import Catalogue
from reelwork.runtime.registry import load_catalogue

CONTRACTS = Path(__file__).parent.parent / "contracts"


def documents() -> dict[str, str]:
    """Every contract by its path below `contracts/`."""
    schemas = {f"schemas/{schema_name(event)}.json": _json(json_schema(event)) for event in CATALOGUE}
    return {
        **schemas,
        "asyncapi.yaml": yaml.safe_dump(asyncapi(load_catalogue()), sort_keys=False, width=120),
        "openapi.json": _json(openapi_document()),
        "job_transitions.json": _json({state.value: sorted(after) for state, after in ALLOWED_TRANSITIONS.items()}),
    }


def asyncapi(catalogue: Catalogue) -> dict[str, Any]:
    """Topics, their payloads, and which queue of which service takes each (AsyncAPI 3.0)."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for event in CATALOGUE:
        name = schema_name(event)
        channels[name] = {
            "address": event.topic,
            "description": (event.__doc__ or "").strip(),
            "messages": {name: {"contentType": "application/json", "payload": {"$ref": f"schemas/{name}.json"}}},
        }
    for subscription in catalogue.subscriptions:
        name = schema_name(subscription.event_type)
        operations[subscription.queue] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": f"{subscription.service} takes {subscription.event_type.topic} from {subscription.queue}",
        }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Reelwork events", "version": "1.0.0"},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    }


def drift(folder: Path) -> list[str]:
    """What differs between the code and the files in `folder`, a sentence each."""
    wanted = documents()
    found = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} belongs to no contract" for name in found if name not in wanted]
    problems += [f"{name} differs" for name in wanted if name in found and found[name].read_text() != wanted[name]]
    return problems


def write(folder: Path) -> None:
    wanted = documents()
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where code and files differ")
    parser.add_argument("--folder", type=Path, default=CONTRACTS, help="default: %(default)s")
    arguments = parser.parse_args()
    if not arguments.check:
        write(arguments.folder)
        return 0
    problems = drift(arguments.folder)
    for problem in problems:
        print(f"contracts/{problem}; if that is meant, run `make contracts` and commit it", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
