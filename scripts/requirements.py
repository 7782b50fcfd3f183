"""Counts the rows of `docs/requirements.md`, or with --check proves them: every state is known, every number is there
once, and what a row names exists. A place is `path` or `path::symbol`, a test `path::name` or `path::Class::name`."""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
STATES = ("done", "not yet", "superseded")
COLUMNS = 5
NUMBER = re.compile(r"[A-Z]{2}-\d{2,}")
QUOTED = re.compile(r"`([^`]+)`")
UNESCAPED_PIPE = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Row:
    """proof: the tests of a requirement that is done, or why it is not."""

    number: str
    requirement: str
    state: str
    where: str
    proof: str

    @property
    def places(self) -> list[str]:
        return QUOTED.findall(self.where)

    @property
    def tests(self) -> list[str]:
        return [name for name in QUOTED.findall(self.proof) if "::" in name]


def rows_of(text: str) -> Iterator[Row | str]:
    """The rows of every table; a line that looks like one and is none comes as it is."""
    for line in text.splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in UNESCAPED_PIPE.split(line)[1:-1]]
        is_heading = cells[:1] == ["#"] or not any(cells[:1] + cells[2:])  # of the table, or of a section of it
        if is_heading or not line.strip("|-: "):
            continue
        yield Row(*cells) if len(cells) == COLUMNS and NUMBER.fullmatch(cells[0]) else line


def problems_in(document: Path) -> list[str]:
    """What is wrong with the table, a sentence each."""
    problems = []
    seen: set[str] = set()
    for row in rows_of(document.read_text(encoding="utf-8")):
        if isinstance(row, str):
            problems.append(f"not a row of {COLUMNS} cells that starts with a number: {row:.80}")
            continue
        if row.number in seen:
            problems.append(f"{row.number} is there twice")
        seen.add(row.number)
        problems += [f"{row.number} {problem}" for problem in _problems_of(row)]
    return problems if seen else [*problems, f"{document} holds no requirement"]


def _problems_of(row: Row) -> Iterator[str]:
    if not row.requirement:
        yield "says nothing"
    if row.state not in STATES:
        yield f"has the state {row.state!r}, not one of: {', '.join(STATES)}"
    if row.state == "done" and not row.places:
        yield "is done, and names no place"
    if row.state == "done" and not row.tests:
        yield "is done, and names no test"
    if row.state == "not yet" and not row.proof:
        yield "is not yet done, and does not say why"
    if row.state == "superseded" and not row.proof.startswith("because "):
        yield "is superseded, and does not say because of what"
    for name in row.places + row.tests:
        if not _exists(name):
            yield f"names {name}, which does not exist"
    for name in row.tests:
        if not name.startswith("tests/") or not name.rpartition("::")[2].startswith(("test_", "Test")):
            yield f"names {name} as a test, which it is not"


def _exists(name: str) -> bool:
    place, _, symbol = name.partition("::")
    path = ROOT / place
    if not symbol:
        return path.exists()
    if not path.is_file():
        return False
    if path.suffix != ".py":
        return symbol in path.read_text(encoding="utf-8")
    return symbol.replace("::", ".") in _symbols(path)


@cache
def _symbols(path: Path) -> frozenset[str]:
    """Everything that a module defines, by dotted name: classes, functions, and what is assigned in their bodies."""
    return frozenset(_defined(ast.parse(path.read_text(encoding="utf-8")), ""))


def _defined(scope: ast.Module | ast.ClassDef, prefix: str) -> Iterator[str]:
    for node in scope.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name
            case ast.ClassDef(name=name):
                yield prefix + name
                yield from _defined(node, f"{prefix}{name}.")
            case ast.Assign(targets=targets):
                yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 where a row is wrong")
    parser.add_argument("--document", type=Path, default=ROOT / "docs" / "requirements.md", help="default: %(default)s")
    arguments = parser.parse_args()
    if not arguments.check:
        rows = rows_of(arguments.document.read_text(encoding="utf-8"))
        states = Counter(row.state for row in rows if isinstance(row, Row))
        print(", ".join(f"{states[state]} {state}" for state in STATES))
        return 0
    problems = problems_in(arguments.document)
    for problem in problems:
        print(f"requirements: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
