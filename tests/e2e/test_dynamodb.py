"""A server and workers with their ledger in DynamoDB and their messages in SQS, on the emulator of AWS."""

from __future__ import annotations

from pathlib import Path

from tests.dynamodb import fresh_tables
from tests.e2e.over_a_broker import assert_a_job_goes_from_one_machine_to_others_and_back
from tests.moto import fresh_url


def test_a_job_goes_from_one_machine_to_others_and_back(tmp_path: Path) -> None:
    assert_a_job_goes_from_one_machine_to_others_and_back(fresh_url(), tmp_path, place=fresh_tables())
