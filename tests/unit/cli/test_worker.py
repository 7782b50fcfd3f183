"""What keeps a worker from starting is said in a sentence that names the fix; and what its help teaches."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from reelwork.cli.app import app, run


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """The command sets up the log of its process, which here is that of all tests."""
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("setting", "url", "said"),
    [
        ("REELWORK_DATABASE_URL", "postgresql://somebody:s3cret@127.0.0.1:1/none", "connection refused"),
        ("REELWORK_BROKER_URL", "redis://somebody:s3cret@127.0.0.1:1/0", "does not answer"),
    ],
)
def test_what_does_not_come_up_in_time_is_named_with_its_setting(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    url: str,
    said: str,
) -> None:
    monkeypatch.setenv(setting, url)
    monkeypatch.setenv("REELWORK_START_SECONDS", "0")
    assert run(["worker", "--data", str(tmp_path), "--json"]) == 1
    told = capsys.readouterr()
    error = json.loads(told.out)["error"]
    assert said in error.lower()
    assert f"does {setting} name it?" in error
    assert "REELWORK_START_SECONDS" in error
    assert "s3cret" not in told.out + told.err


def test_a_port_that_is_taken_is_refused_with_the_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["worker", "--data", str(tmp_path), "--metrics-port", str(port), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert f"cannot listen on 127.0.0.1:{port}" in error
    assert "--metrics-port" in error
    assert os.listdir(tmp_path) == []


def test_help_says_what_a_worker_on_another_machine_needs() -> None:
    told = " ".join(CliRunner().invoke(app, ["worker", "--help"]).stdout.split())
    for word in (
        "REELWORK_DATABASE_URL",
        "REELWORK_BROKER_URL",
        "REELWORK_OBJECTS_URL",
        "REELWORK_START_SECONDS",
        "REELWORK_DRAIN_SECONDS",
        "--metrics-port",
    ):
        assert word in told
