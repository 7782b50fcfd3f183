"""Whether `reelwork` understands a command line, found out without running it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.main import get_command

from reelwork.cli.app import app


def parsed(arguments: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The command and its parameters. Raises the parser's UsageError."""
    group: Any = get_command(app)
    outer = group.make_context("reelwork", list(arguments))
    name, command, rest = group.resolve_command(outer, [*outer._protected_args, *outer.args])
    return name, command.make_context(name, rest, parent=outer).params
