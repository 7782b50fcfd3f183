"""A server and workers whose messages go through RabbitMQ: the real runtime on a real server."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.commands import reelwork
from tests.e2e.over_a_broker import assert_a_job_goes_from_one_machine_to_others_and_back
from tests.rabbitmq import PASSWORD, fresh_url, shared_server


def test_a_job_goes_from_one_machine_to_others_and_back(tmp_path: Path) -> None:
    assert_a_job_goes_from_one_machine_to_others_and_back(fresh_url(), tmp_path)


def test_the_doctor_finds_the_broker_or_says_what_is_wrong_and_never_tells_the_password(tmp_path: Path) -> None:
    data, url = ["--data", tmp_path / "data"], fresh_url()
    fine = reelwork("doctor", *data, "--json", environment={"REELWORK_BROKER_URL": url})
    away = url.replace(f":{shared_server().port}/", ":1/")
    broken = reelwork("doctor", *data, "--json", environment={"REELWORK_BROKER_URL": away})
    patient = {"REELWORK_BROKER_URL": url, "REELWORK_HANDLER_TIMEOUT_SECONDS": "1800"}
    impossible = reelwork("doctor", *data, "--json", environment=patient)
    for told in (fine, broken, impossible):
        assert PASSWORD not in told.stdout + told.stderr
    assert "amqp://tester:***@127.0.0.1" in fine.stdout
    assert "does not answer" in broken.stdout
    assert "takes back what it was given after 1800 s" in impossible.stdout
    assert (fine.status, broken.status, impossible.status) == (0, 1, 1)
