"""`infra/pvm/compose.yaml` as Docker Compose resolves it: anchors merged, variables put in, `env_file` read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parents[2] / "infra" / "pvm"
FILE: Final = FOLDER / "compose.yaml"
EXAMPLE: Final = FOLDER / ".env.example"
VARIABLE: Final = re.compile(r"\$\{([A-Z0-9_]+)(?::([-?])([^}]*))?\}")


class Unset(Exception):
    """A variable that must have a value has none."""


@dataclass(frozen=True)
class Variable:
    """A place in the file where one stands. default: None where it must be given."""

    name: str
    default: str | None


@cache
def variables() -> frozenset[Variable]:
    found = VARIABLE.findall(FILE.read_text())
    return frozenset(Variable(name, default if sign == "-" else None) for name, sign, default in found)


def example() -> dict[str, str]:
    """What is set in `.env.example`, a copy of which everybody begins with."""
    lines = (line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def resolved(given: Mapping[str, str]) -> dict[str, Any]:
    """The file with these values of its variables. Raises Unset."""

    def value(found: re.Match[str]) -> str:
        name, sign, default = found.groups()
        if given.get(name):
            return given[name]
        if sign != "-":
            raise Unset(name)
        return str(default)

    text = "\n".join(line for line in FILE.read_text().splitlines() if not line.lstrip().startswith("#"))
    document: dict[str, Any] = yaml.safe_load(VARIABLE.sub(value, text))
    return document


def environment(service: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Of a container: its `env_file`, and what `environment` says instead."""
    from_file = dict(given) if service.get("env_file") == [".env"] else {}
    return from_file | {name: str(value) for name, value in service["environment"].items()}
