"""Settings come from the environment by their contract names, and are clamped or refused."""

from decimal import Decimal
from pathlib import Path

import pytest

from reelwork.errors import ConfigurationError
from reelwork.ledger import CompletionPolicy
from reelwork.settings import Config


@pytest.mark.parametrize(
    ("given", "percentage"),
    [
        ("90", Decimal(90)),
        ("66.6", Decimal("66.6")),  # exact: not the nearest binary fraction
        ("-5", Decimal(0)),  # clamped
        ("250", Decimal(100)),
    ],
)
def test_the_threshold_is_an_exact_clamped_decimal(
    monkeypatch: pytest.MonkeyPatch, given: str, percentage: Decimal
) -> None:
    monkeypatch.setenv("COMPLETION_THRESHOLD_PERCENTAGE", given)
    assert percentage == Config().COMPLETION_THRESHOLD_PERCENTAGE
    assert CompletionPolicy().threshold_percentage == percentage


@pytest.mark.parametrize("given", ["most", "nan", "inf", ""])
def test_a_threshold_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("COMPLETION_THRESHOLD_PERCENTAGE", given)
    with pytest.raises(ValueError, match="not a percentage"):
        Config()


def test_the_watermark_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CompletionPolicy().watermark_ttl_seconds == 900
    monkeypatch.setenv("WATERMARK_TTL_SECONDS", "12.5")
    assert CompletionPolicy().watermark_ttl_seconds == 12.5


def test_back_ends_default_to_the_data_folder(tmp_path: Path) -> None:
    config = Config(REELWORK_DATA_DIR=tmp_path)
    assert config.database_url == f"sqlite:///{tmp_path}/reelwork.db"
    assert config.objects_url == f"file://{tmp_path}/objects"
    assert config.broker_url == "sql:"


def test_no_setting_shows_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://user:s3cret@host/db"
    monkeypatch.setenv("REELWORK_DATABASE_URL", url)
    monkeypatch.setenv("REELWORK_API_TOKEN", "s3cret")
    monkeypatch.setenv("REELWORK_BROKER_URL", "redis://:s3cret@host")
    config = Config()
    assert config.database_url == url
    assert config.broker_url == "redis://:s3cret@host"
    assert "s3cret" not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot write to the data folder .*--data DIR"):
        Config(REELWORK_DATA_DIR=tmp_path / "file" / "data").prepare_data_dir()
