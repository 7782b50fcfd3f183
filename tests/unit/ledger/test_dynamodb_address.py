"""Where a ledger on DynamoDB is, and what is told of an address that is none."""

from __future__ import annotations

import pytest

from reelwork.database import embedded_path, shown_url
from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.ledger import open_ledger
from reelwork.ledger.dynamodb.address import parse_address
from reelwork.settings import Config
from tests.dynamodb import fresh_tables


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "SEGMENT_COMPLETIONS_TABLE_NAME"):
        monkeypatch.delenv(name, raising=False)


def test_by_the_url_alone() -> None:
    address = parse_address("dynamodb://films?region=eu-central-1&endpoint=http://127.0.0.1:1&create=on")
    assert (address.ledger_table, address.completions_table) == ("films-ledger", "films-segment-completions")
    assert (address.region, address.endpoint, address.may_create) == ("eu-central-1", "http://127.0.0.1:1", True)


def test_by_the_settings_of_aws_where_it_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:2")
    monkeypatch.setenv("SEGMENT_COMPLETIONS_TABLE_NAME", "Segments")
    address = parse_address("dynamodb://films")
    assert (address.region, address.endpoint, address.may_create) == ("eu-west-1", "http://127.0.0.1:2", False)
    assert address.completions_table == "Segments"
    assert parse_address("dynamodb://films?region=us-east-1").region == "us-east-1"


def test_the_settings_of_a_video_worker_make_such_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMENT_COMPLETIONS_TABLE_NAME", "films-segment-completions")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    address = parse_address(Config().database_url)
    assert (address.ledger_table, address.completions_table) == ("films-ledger", "films-segment-completions")
    assert address.region == "eu-west-1"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("dynamodb://", "TABLE_PREFIX"),
        ("dynamodb://films/table", "TABLE_PREFIX"),
        ("dynamodb://fil ms", "TABLE_PREFIX"),
        ("dynamodb://key:secret@films", "AWS_ACCESS_KEY_ID"),
        ("dynamodb://films?regoin=x", "regoin"),
        ("dynamodb://films?create=yes", "create=on"),
    ],
)
def test_what_is_no_address(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as refusal:
        open_ledger(url)
    assert "secret" not in str(refusal.value)


def test_it_is_no_file_and_hides_nothing() -> None:
    assert embedded_path("dynamodb://films") is None
    assert shown_url("dynamodb://films?region=x") == "dynamodb://films?region=x"
    assert "secret" not in shown_url("dynamodb://key:secret@films")


def test_without_a_region() -> None:
    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        open_ledger("dynamodb://films")


def test_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_tables() as url:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
        monkeypatch.setattr("reelwork.ledger.dynamodb.opening._session", _new_session)
        with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID"):
            open_ledger(url)
        monkeypatch.undo()


def _new_session() -> object:
    import boto3

    return boto3.session.Session()


def test_tables_are_made_only_where_the_url_says_so() -> None:
    with fresh_tables() as url:
        with pytest.raises(ConfigurationError, match=r"infra/aws/template.yaml, or add create=on"):
            open_ledger(url.replace("create=on", "create=off"))
        open_ledger(url).close()
        open_ledger(url.replace("create=on", "create=off")).close()


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelwork.ledger.dynamodb.opening.REQUEST_TRIES_MAX", 1)
    with fresh_tables() as url:
        parts = url.partition("&endpoint=")
        with pytest.raises(StoreUnavailable):
            open_ledger(f"{parts[0]}&endpoint=http://127.0.0.1:9&create=off")
