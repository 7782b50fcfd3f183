"""What every command keeps to: one document with --json, one sentence without, and a telling exit status."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from reelwork.cli.app import app, run

HEAVY = ("pydantic", "sqlalchemy", "httpx", "fastapi", "av", "numpy", "cv2")


def test_help_imports_no_heavy_room() -> None:
    script = f"import reelwork.cli, sys; print([name for name in {HEAVY} if name in sys.modules])"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert child.stdout == "[]\n"


def test_help_names_every_command_and_the_exit_codes() -> None:
    told = CliRunner().invoke(app, ["--help"]).stdout
    for word in (
        "serve",
        "worker",
        "migrate",
        "analyze",
        "submit",
        "wait",
        "dead-letters",
        "doctor",
        "130 interrupted",
    ):
        assert word in told


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("reelwork ")


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["frobnicate"], 2, "frobnicate"),
        (["analyze"], 2, "FILE"),
        (["analyze", "/nowhere.mp4"], 2, "does not exist"),
        (["serve", "--port", "70000"], 2, "--port"),
        (["models", "pull", "nothing"], 2, "there is no model 'nothing'"),
        (["status", "a", "--url", "http://127.0.0.1:9"], 3, "is `reelwork serve` running there?"),
        (["status", "a", "--url", "gopher://there"], 2, "is not the address of a server"),
    ],
)
def test_errors(arguments: list[str], code: int, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert word in " ".join(told.err.split())
    assert run([*arguments, "--json"]) == code
    told = capsys.readouterr()
    assert told.err == ""
    assert list(json.loads(told.out)) == ["error"]


def test_a_setting_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WATERMARK_TTL_SECONDS", "soon")
    assert run(["doctor"]) == 2
    assert capsys.readouterr().err.startswith("reelwork: WATERMARK_TTL_SECONDS: ")
