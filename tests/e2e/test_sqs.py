"""A server and workers whose messages go through SQS: the real runtime on the emulator of AWS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.commands import reelwork
from tests.e2e.over_a_broker import assert_a_job_goes_from_one_machine_to_others_and_back
from tests.moto import CREDENTIALS, fresh_url


def test_a_job_goes_from_one_machine_to_others_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    assert_a_job_goes_from_one_machine_to_others_and_back(fresh_url(), tmp_path)


def test_the_doctor_finds_the_broker_or_says_which_queues_are_missing(tmp_path: Path) -> None:
    data, url = ["--data", tmp_path / "data"], fresh_url()
    fine = reelwork("doctor", *data, "--json", environment={"REELWORK_BROKER_URL": url, **CREDENTIALS})
    bare = {"REELWORK_BROKER_URL": url.replace("&create=yes", ""), **CREDENTIALS}
    missing = reelwork("doctor", *data, "--json", environment=bare)
    assert "sqs://test" in fine.stdout
    assert "-q-analyze-jobs" in missing.stdout
    assert "create=yes" in missing.stdout
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in fine.stdout + fine.stderr + missing.stdout + missing.stderr
    assert (fine.status, missing.status) == (0, 1)
