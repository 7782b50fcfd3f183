"""What the variables of a worker on AWS stand for, beside the settings of Reelwork's own."""

from __future__ import annotations

import pytest

from reelwork.errors import ConfigurationError
from reelwork.runtime.registry import load_catalogue
from reelwork.settings import Config

QUEUE_URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/film-q-video_worker-segments"
VARIABLES = {
    "INPUT_BUCKET_NAME": "film-input",
    "OUTPUT_BUCKET_NAME": "film-output",
    "SEGMENT_COMPLETIONS_TABLE_NAME": "film-segment-completions",
    "VIDEO_WORKER_QUEUE_URL": QUEUE_URL,
}


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("variables")
class TestAddresses:
    def test_they_name_everything_a_worker_stands_on(self) -> None:
        config = Config()
        assert config.objects_url == "s3://film-output?input_bucket=film-input"
        assert config.database_url == "dynamodb://film"
        assert config.broker_url == "sqs://film"
        assert config.queue_urls == {"q.video_worker.segments": QUEUE_URL}
        assert not config.uses_data_dir

    def test_region_and_endpoint_are_those_of_aws(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
        told = "region=eu-central-1&endpoint=http%3A%2F%2F127.0.0.1%3A4566"
        config = Config()
        assert config.objects_url == f"s3://film-output?{told}&input_bucket=film-input"
        assert config.database_url == f"dynamodb://film?{told}"
        assert config.broker_url == f"sqs://film?{told}"

    def test_the_settings_of_reelwork_win(self, monkeypatch: pytest.MonkeyPatch) -> None:
        own = {
            "REELWORK_DATABASE_URL": "sqlite:////tmp/x.db",
            "REELWORK_BROKER_URL": "sql:",
            "REELWORK_OBJECTS_URL": "memory://",
        }
        for name, value in own.items():
            monkeypatch.setenv(name, value)
        config = Config()
        assert [config.database_url, config.broker_url, config.objects_url] == list(own.values())
        assert (config.queue_urls, config.pipelines) == ({}, None)

    def test_names_of_ones_own_leave_the_others_their_usual_prefix(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEGMENT_COMPLETIONS_TABLE_NAME", "Converted")
        monkeypatch.setenv("VIDEO_WORKER_QUEUE_URL", "http://127.0.0.1:4566/000000000000/segments")
        assert (Config().database_url, Config().broker_url) == ("dynamodb://reelwork", "sqs://reelwork")

    def test_one_bucket_may_have_both_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OUTPUT_BUCKET_NAME", "film-input")
        assert Config().objects_url == "s3://film-input"

    @pytest.mark.parametrize("missing", ["INPUT", "OUTPUT"])
    def test_one_bucket_of_two_is_refused(self, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        monkeypatch.delenv(f"{missing}_BUCKET_NAME")
        with pytest.raises(ConfigurationError, match=f"{missing}_BUCKET_NAME is not: set both"):
            _ = Config().objects_url

    @pytest.mark.parametrize("url", ["film-q-video_worker-segments", "https://sqs.example.com/", "arn:aws:sqs:x:1:q"])
    def test_what_is_no_address_of_a_queue_is_refused(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        monkeypatch.setenv("VIDEO_WORKER_QUEUE_URL", url)
        with pytest.raises(ConfigurationError, match="it must be the URL of a queue, such as https://sqs"):
            _ = Config().broker_url

    def test_only_the_stereo_pipeline_runs_unless_others_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert Config().pipelines == {"stereo"}
        monkeypatch.setenv("REELWORK_PIPELINES", "stereo, analyze")
        assert Config().pipelines == {"stereo", "analyze"}


def test_region_and_endpoint_alone_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    config = Config()
    assert config.database_url.startswith("sqlite:///")
    assert config.objects_url.startswith("file://")
    assert (config.broker_url, config.pipelines, config.uses_data_dir) == ("sql:", None, True)


class TestPipelines:
    def test_those_that_are_named_run(self) -> None:
        assert set(load_catalogue({"stereo"}).pipelines) == {"stereo"}
        assert load_catalogue({"stereo"}).services() == ["chunking-worker", "media-worker", "video-worker"]
        assert set(load_catalogue().pipelines) > {"stereo"}

    def test_one_that_is_not_installed_is_told(self) -> None:
        with pytest.raises(ConfigurationError, match=r"no pipeline is called sterio, .* known: analyze, match, stereo"):
            load_catalogue({"sterio"})
