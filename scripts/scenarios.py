"""Runs the scenarios of the requirements and prints what became of each on every store, as a Markdown table.

    python scripts/scenarios.py

A row is a scenario, by its test's name; a column is a store, told directly or through the real runtime. Exits as
pytest does. It never writes anything of its own into the repository.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = "tests/scenarios"
WAYS = {"test_direct_calls": "direct calls", "test_real_runtime": "real runtime"}
CASE = re.compile(r"test_(?P<scenario>\w+)\[(?P<store>[\w-]+)\]")
NOT_RUN = "-"


class Outcome(NamedTuple):
    scenario: str
    store: str
    way: str
    word: str


def outcomes(report: Path) -> Iterator[Outcome]:
    for case in ET.parse(report).iter("testcase"):
        found = CASE.fullmatch(case.get("name", ""))
        way = WAYS.get(case.get("classname", "").rpartition(".")[2])
        if found is not None and way is not None:
            troubles = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
            word = f"**{troubles[0]}**" if troubles else "passed"
            yield Outcome(found["scenario"].replace("_", " "), found["store"], way, word)


def table(results: list[Outcome]) -> str:
    columns = sorted({(result.store, result.way) for result in results})
    words = {(result.scenario, result.store, result.way): result.word for result in results}
    lines = ["| scenario | " + " | ".join(f"{store}, {way}" for store, way in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for scenario in dict.fromkeys(result.scenario for result in results):
        row = [words.get((scenario, *column), NOT_RUN) for column in columns]
        lines.append(f"| {scenario} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", FOLDER, f"--junitxml={report}"]
        exit_code = subprocess.run(command, stdout=sys.stderr).returncode
        results = list(outcomes(report))
    passed = sum(result.word == "passed" for result in results)
    print(table(results))
    print(f"\n{passed} of {len(results)} passed")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
