"""What the commands make of a ledger on DynamoDB."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reelwork.cli.app import run
from reelwork.cli.checkup import Finding, Health, examine
from reelwork.errors import ConfigurationError
from reelwork.ledger import JobMove, JobStatus, NewJob, Work, open_ledger
from reelwork.ledger.dynamodb.opening import tables_to_be_made
from reelwork.runtime.backends import open_backends
from reelwork.settings import Config
from tests.clock import ManualClock
from tests.dynamodb import fresh_tables
from tests.valkey import fresh_url


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with fresh_tables() as url:
        monkeypatch.setenv("REELWORK_DATABASE_URL", url)
        monkeypatch.setenv("REELWORK_OBJECTS_URL", f"file://{tmp_path}/objects")
        monkeypatch.setenv("REELWORK_DATA_DIR", str(tmp_path / "data"))
        yield url


def found(subject: str) -> Finding:
    return next(finding for finding in examine(Config()) if finding.subject == subject)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> object:
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_doctor_makes_no_tables_and_says_what_is_missing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("database").health is Health.FINE
    assert len(tables_to_be_made(url)) == 2
    assert found("broker").health is Health.BROKEN
    assert "sqs://" in str(found("broker").fix)
    monkeypatch.setenv("REELWORK_DATABASE_URL", url.replace("create=on", "create=off"))
    finding = found("database")
    assert finding.health is Health.BROKEN
    assert "infra/aws/template.yaml" in finding.found
    open_ledger(url).close()
    assert found("database").health is Health.FINE


@pytest.mark.usefixtures("url")
def test_queues_in_it_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="REELWORK_BROKER_URL"):
        asyncio.run(open_backends(Config()))


def test_migrate_says_whether_the_tables_were_there(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REELWORK_BROKER_URL", fresh_url())
    first, second = told(capsys, "migrate"), told(capsys, "migrate")
    assert [each["schema_before"] for each in (first, second)] == [None, "dynamodb-1"]  # type: ignore[index]
    assert tables_to_be_made(url) == []


def test_prune(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = open_ledger(url, clock=ManualClock())
    ledger.commit(Work(new_job=NewJob(job_id="old", pipeline="p", input_path="i")))
    ledger.commit(Work(moves=[JobMove(job_id="old", allowed=frozenset(JobStatus), to=JobStatus.CANCELLED)]))
    ledger.close()
    assert told(capsys, "prune", "--older-than", "30", "--dry-run") == {"jobs": 1}
    assert told(capsys, "prune", "--older-than", "30") == {"jobs": 1, "rows": 0, "objects": 0}
    assert told(capsys, "prune", "--older-than", "30", "--dry-run") == {"jobs": 0}


@pytest.mark.usefixtures("url")
def test_import_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    open_ledger(f"sqlite:///{folder}/reelwork.db").close()
    assert run(["import", str(folder)]) != 0
    assert "takes no rows" in capsys.readouterr().err
