"""`reelwork migrate`, as a deployment runs it before anything else starts."""

from __future__ import annotations

import subprocess
from pathlib import Path

from reelwork.ledger.schema import SCHEMA_REVISION
from tests.e2e.commands import COMMAND_SECONDS_MAX, reelwork, start
from tests.postgresql import fresh_database, shared_server
from tests.valkey import valkey_server


def status_of(process: subprocess.Popen[str]) -> int:
    with process:
        process.communicate(timeout=COMMAND_SECONDS_MAX)
    return process.returncode


def test_makes_the_schema_once_however_many_run_and_finds_it_made_afterwards(tmp_path: Path) -> None:
    with fresh_database(migrated=False) as url:
        environment = {"REELWORK_DATABASE_URL": url, "REELWORK_OBJECTS_URL": f"file://{tmp_path}/objects"}
        both = [start("migrate", environment=environment) for _ in range(2)]
        assert [status_of(each) for each in both] == [0, 0]
        again = reelwork("migrate", "--json", environment=environment)
    assert again.status == 0
    assert (again.document["schema_before"], again.document["schema"]) == (SCHEMA_REVISION, SCHEMA_REVISION)
    assert "s3cret" not in again.stdout + again.stderr


def test_waits_for_a_broker_that_is_about_to_start(tmp_path: Path) -> None:
    with valkey_server() as broker:
        broker.kill()
        environment = {"REELWORK_DATA_DIR": str(tmp_path), "REELWORK_BROKER_URL": broker.url()}
        impatient = reelwork("migrate", "--wait", "0", "--json", environment=environment)
        assert impatient.status == 1
        assert "does not answer" in impatient.document["error"]
        waiting = start("migrate", environment=environment)
        broker.restart()
        assert status_of(waiting) == 0


def test_says_which_server_is_away_without_its_password() -> None:
    url = shared_server().url().replace(f":{shared_server().port}/", ":1/")
    ended = reelwork("migrate", "--wait", "0", environment={"REELWORK_DATABASE_URL": url})
    assert (ended.status, ended.stdout) == (1, "")
    assert "does not answer" in ended.stderr
    assert "s3cret" not in ended.stderr
