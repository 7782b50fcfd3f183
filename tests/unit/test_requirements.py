"""The table of requirements is true: what it names exists. And what no other test looks at."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reelwork.ledger.schema import jobs
from reelwork.runtime.registry import load_catalogue

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "requirements.md"


def check(document: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/requirements.py", "--check", "--document", str(document)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


class TestTable:
    def test_is_true(self) -> None:
        result = check(DOCUMENT)
        assert result.returncode == 0, result.stderr

    @pytest.mark.parametrize("document", ["JQ", "VC", "IC", "CT", "VW"])
    def test_numbers_have_no_gaps(self, document: str) -> None:
        numbers = re.findall(rf"^\| {document}-(\d+) ", DOCUMENT.read_text(), re.MULTILINE)
        assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
        assert numbers

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            ("| XX-01 | a | nearly | - | b |", "XX-01 has the state 'nearly'"),
            ("| JQ-01 | a | not yet | - | b |", "JQ-01 is there twice"),
            ("| XX-01 | a | not yet | - |  |", "XX-01 is not yet done, and does not say why"),
            ("| XX-01 | a | superseded | - | so it is |", "XX-01 is superseded, and does not say because of what"),
            ("| XX-01 | a | done | - | {test} |", "XX-01 is done, and names no place"),
            ("| XX-01 | a | done | {place} | surely |", "XX-01 is done, and names no test"),
            ("| XX-01 | a | done | `src/reelwork/gone.py::x` | {test} |", "names src/reelwork/gone.py::x"),
            (
                "| XX-01 | a | done | `src/reelwork/events/analyze.py::Gone` | {test} |",
                "names src/reelwork/events/analyze.py::Gone",
            ),
            ("| XX-01 | a | done | `docs/operations.md::no such words` | {test} |", "names docs/operations.md::no"),
            ("| XX-01 | a | done | {place} | `tests/unit/test_gone.py::test_x` |", "names tests/unit/test_gone.py"),
            ("| XX-01 | a | done | {place} | `tests/unit/test_events.py::test_gone` |", "which does not exist"),
            ("| XX-01 | a | done | {place} | {place} |", "as a test, which it is not"),
            ("| XX-01 | a | done | {place} |", "not a row of 5 cells"),
        ],
    )
    def test_a_planted_row_is_found(self, tmp_path: Path, row: str, problem: str) -> None:
        planted = tmp_path / "requirements.md"
        place = "`src/reelwork/events/analyze.py::VideoSubmitted.topic`"
        test = "`tests/unit/test_events.py::TestIdentity::test_a_completion_has_the_id_of_the_design`"
        planted.write_text(f"{DOCUMENT.read_text()}\n{row.format(place=place, test=test)}\n")
        result = check(planted)
        assert result.returncode == 1
        assert problem in result.stderr

    def test_an_empty_one_is_found(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.md").write_text("# Requirements\n")
        assert "holds no requirement" in check(tmp_path / "requirements.md").stderr


class TestJobTable:
    def test_begins_with_the_columns_of_the_document(self) -> None:
        names = [column.name for column in jobs.columns][:7]
        assert names == [
            "job_id",
            "status",
            "created_at",
            "updated_at",
            "input_path",
            "output_path",
            "error_message",
        ]
        assert [column.name for column in jobs.primary_key] == ["job_id"]
        assert jobs.c.error_message.nullable


class TestKeptOut:
    def test_no_websockets(self) -> None:
        sources = [path for path in (ROOT / "src").rglob("*.py") if "websocket" in path.read_text().lower()]
        assert sources == []
        assert importlib.util.find_spec("websockets") is None  # uvicorn would speak them if it could

    def test_nothing_for_gpus(self) -> None:
        locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
        assert "numpy" in locked
        assert not [name for name in locked if re.search(r"gpu|cuda|nvidia|^torch", name)]


class TestDocuments:
    def test_the_architecture_shows_every_service_and_topic(self) -> None:
        pictures = re.findall(r"```mermaid\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(), re.DOTALL)
        drawn = set(re.findall(r"[\w.-]+", re.sub(r"<br/>|--", " ", " ".join(pictures))))
        subscriptions = load_catalogue().subscriptions
        known = {s.service for s in subscriptions} | {s.event_type.topic for s in subscriptions}
        assert known - drawn == set()

    @pytest.mark.parametrize("heading", ["## Upgrade", "## Roll back"])
    def test_operations_say_how_to_go_forth_and_back(self, heading: str) -> None:
        section = (ROOT / "docs" / "operations.md").read_text().partition(f"\n{heading}\n")[2].partition("\n## ")[0]
        assert re.findall(r"^(\d)\.", section, re.MULTILINE)[:3] == ["1", "2", "3"]
        assert "make smoke" in section

    def test_the_changelog_tells_what_is_new(self) -> None:
        newest = (ROOT / "CHANGELOG.md").read_text().partition("\n## ")[2].partition("\n## ")[0]
        assert re.search(r"^### Added\n\n- ", newest, re.MULTILINE)

    def test_ci_runs_the_checks_and_the_tests(self) -> None:
        assert (ROOT / ".ci" / "run").read_text().splitlines()[-3:] == ["make check", "make infra", "make test"]
