"""Runs the conformance suites of the brokers and of the ledgers, and prints what became of them as one Markdown table.

    python scripts/conformance.py

A row is a group of tests, a column is an engine; a cell says how many of its tests passed, and how many did not. Exits
as pytest does. It never writes anything of its own into the repository.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOMS: Mapping[str, tuple[str, ...]] = {
    "broker": ("memory", "rabbitmq", "redis", "sqs", "sql-on-sqlite", "sql-on-postgresql"),
    "ledger": ("sqlite", "postgresql", "dynamodb"),
}
FOLDERS = [f"tests/conformance/{room}" for room in ROOMS]
SUITE = "test_broker"
OF_ITS_OWN = "what only it has"
NOT_FOR_IT = "-"


class Outcome(NamedTuple):
    """word: passed, failure, error or skipped."""

    room: str
    group: str
    engine: str
    word: str


def outcomes(report: Path) -> Iterator[Outcome]:
    for case in ET.parse(report).iter("testcase"):
        path = case.get("classname", "").split(".")
        parameters = case.get("name", "").partition("[")[2]
        room = next((room for room in ROOMS if room in path), None)
        engine = None if room is None else engine_of(room, parameters.rstrip("]"), path)
        if room is None or engine is None:
            continue
        troubles = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        yield Outcome(room, group_of(room, path), engine, troubles[0] if troubles else "passed")


def engine_of(room: str, parameters: str, path: list[str]) -> str | None:
    """By the parameters of the test; where they name only a store, or nothing, by its module."""
    named = [engine for engine in ROOMS[room] if re.search(rf"(?:^|-){engine}(?:-|$)", parameters)]
    if room == "broker" and not named:
        store = next((store for store in ROOMS["ledger"] if store in parameters.split("-")), None)
        module = next(part for part in path if part.startswith("test_"))
        in_module = sorted((module.find(engine), engine) for engine in ROOMS[room] if engine in module)
        named = [f"sql-on-{store}"] if store else [engine for _, engine in in_module]
    return named[0] if named else None


def group_of(room: str, path: list[str]) -> str:
    module = next(part for part in path if part.startswith("test_"))
    own_class = next((part for part in path if part.startswith("Test")), None)
    if room == "broker":
        return in_words(own_class) if module == SUITE and own_class else OF_ITS_OWN
    return module.removeprefix("test_").replace("_", " ")


def in_words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removeprefix("Test")).lower()


def table(results: list[Outcome]) -> str:
    columns = [(room, engine) for room, engines in ROOMS.items() for engine in engines]
    words = Counter((result.room, result.group, result.engine, result.word) for result in results)
    lines = ["| suite | group | " + " | ".join(f"{room} {engine}" for room, engine in columns) + " |"]
    lines.append("|---" * (len(columns) + 2) + "|")
    for room, group in dict.fromkeys((result.room, result.group) for result in results):
        cells = [cell(words, room, group, engine) if room == own else "" for own, engine in columns]
        lines.append(f"| {room} | {group} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(words: Mapping[tuple[str, str, str, str], int], room: str, group: str, engine: str) -> str:
    counts = [(word, words.get((room, group, engine, word), 0)) for word in ("passed", "failure", "error", "skipped")]
    told = [str(count) if word == "passed" else f"**{count} {word}**" for word, count in counts if count]
    return ", ".join(told) or NOT_FOR_IT


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", *FOLDERS, f"--junitxml={report}"]
        exit_code = subprocess.run(command, stdout=sys.stderr).returncode
        results = list(outcomes(report))
    passed = sum(result.word == "passed" for result in results)
    print(table(results))
    print(f"\n{passed} of {len(results)} passed")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
