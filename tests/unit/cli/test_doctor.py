"""The doctor finds what is broken, names the fix, and leaves no trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from reelwork.cli.app import run
from reelwork.cli.checkup import Finding, Health, examine
from reelwork.settings import Config
from tests.seaweed import CREDENTIALS, fresh_url


def findings(config: Config) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(config)}


def config_at(folder: Path) -> Config:
    return Config().model_copy(update={"REELWORK_DATA_DIR": folder})


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REELWORK_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


def test_a_healthy_machine(tmp_path: Path) -> None:
    found = findings(config_at(tmp_path / "data"))
    assert [one for one in found.values() if one.health is Health.BROKEN] == []
    assert found["model efficientdet-lite0"].health is Health.ABSENT
    assert found["model efficientdet-lite0"].fix == "reelwork models pull efficientdet-lite0"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written() -> None:
    found = findings(config_at(Path("/proc/reelwork")))["data folder"]
    assert found.health is Health.BROKEN
    assert found.fix is not None
    assert "--data" in found.fix


def test_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "reelwork.db").write_text("hello, this is no database at all" * 100)
    assert findings(config_at(tmp_path))["database"].health is Health.BROKEN


def test_a_broker_that_is_not_there_or_none(tmp_path: Path) -> None:
    assert findings(config_at(tmp_path))["broker"].health is Health.FINE
    for url, said in (
        ("redis://:s3cret@127.0.0.1:1", "does not answer"),
        ("amqp://user:s3cret@127.0.0.1:1", "does not answer"),
        ("amqp://user:s3cret@127.0.0.1:1?consumer_timeout=100", "takes back what it was given after 100 s"),
        ("fax:", "not supported"),
    ):
        config = config_at(tmp_path).model_copy(update={"REELWORK_BROKER_URL": SecretStr(url)})
        found = findings(config)["broker"]
        assert (found.health, said in found.found, "s3cret" in found.found) == (Health.BROKEN, True, False)
        assert found.fix is not None
        assert "REELWORK_BROKER_URL" in found.fix


def test_an_object_store_that_is_away_refuses_us_or_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found_of(url: str) -> Finding:
        return findings(config_at(tmp_path).model_copy(update={"REELWORK_OBJECTS_URL": url}))["object store"]

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    assert findings(config_at(tmp_path))["object store"].health is Health.FINE
    fine = found_of(fresh_url())
    assert (fine.health, "answers" in fine.found) == (Health.FINE, True)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-s3cret")
    for url, said in (
        (fresh_url(), "SignatureDoesNotMatch"),
        ("s3://bucket?endpoint=http://127.0.0.1:1", "does not answer"),
        ("fax:", "are not known"),
    ):
        found = found_of(url)
        assert (found.health, said in found.found, "s3cret" in found.found) == (Health.BROKEN, True, False)
        assert found.fix is not None
        assert "REELWORK_OBJECTS_URL" in found.fix


def test_an_object_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    config = config_at(tmp_path).model_copy(update={"REELWORK_OBJECTS_URL": f"file://{tmp_path}/objects"})
    assert "can be made" in findings(config)["object store"].found
    assert not (tmp_path / "objects").exists()


def test_a_damaged_model(tmp_path: Path, own_models: Path) -> None:
    from reelwork.vision import MODELS

    own_models.mkdir()
    (own_models / MODELS["efficientdet-lite0"].file_name).write_bytes(b"x")
    assert findings(config_at(tmp_path))["model efficientdet-lite0"].health is Health.BROKEN


def test_what_is_broken_is_an_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--data", "/proc/reelwork", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["healthy"] is False
    assert {"subject", "health", "found", "fix"} == set(document["findings"][0])
