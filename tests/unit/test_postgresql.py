"""PostgreSQL under the ledger: rings, conflicts, a server that goes away and comes back, no password in any error."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import pytest

from reelwork.database import Database, Listener, StatementRefused, open_database, shown_url
from reelwork.database.arrays import array_literal
from reelwork.errors import StoreUnavailable, StoreUnreachable, WriteConflict
from reelwork.ledger import JobProgressManager, NewJob, Work, open_ledger
from tests.postgresql import fresh_database, postgresql_server, shared_server

RING_SECONDS_MAX = 30


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_database() as url:
        yield url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = open_database(url)
    yield database
    database.close()


def has_rung(listener: Listener, seconds: float = RING_SECONDS_MAX) -> bool:
    readable, _, _ = select.select([listener], [], [], seconds)
    return bool(readable)


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["a"],
        ["", " ", "NULL", "null", "{}", ","],
        ['"', "\\", '\\"', "a\"b'c"],
        ["größe", "日本", "\n"],
        [None, "x"],
    ],
)
def test_a_list_arrives_as_it_is(database: Database, values: list[str | None]) -> None:
    rows = database.rows("SELECT * FROM unnest($1::text[])", [array_literal(values)])
    assert [value for (value,) in rows] == values


def test_numbers_and_booleans_arrive_as_they_are(database: Database) -> None:
    numbers, flags = [1, -(2**62), None], [True, False, None]
    statement = "SELECT * FROM unnest($1::bigint[], $2::boolean[])"
    assert database.rows(statement, [array_literal(numbers), array_literal(flags)]) == list(
        zip(numbers, flags, strict=True)
    )


def test_a_commit_rings_and_a_rollback_does_not(database: Database) -> None:
    listener = database.listen()

    def interrupted() -> None:
        with database.write() as connection:
            connection.ring(["a queue"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with database.write() as connection:
        connection.execute("SELECT 1")
    assert not has_rung(listener, 0)
    with database.write() as connection:
        connection.ring(["a queue"])
    assert has_rung(listener)
    assert listener.take() == {"a queue"}
    listener.close()


def test_no_update_is_lost_between_threads(database: Database) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO inbox VALUES ('event', 'counter', 0)")

    def increment() -> None:
        for _ in range(25):
            database.transact(
                lambda connection: connection.execute("UPDATE inbox SET consumed_at = consumed_at + 1").rowcount
            )

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.read("SELECT consumed_at FROM inbox") == (100,)


def test_what_is_there_already_is_a_conflict_that_rolls_back_everything(database: Database) -> None:
    def insert(*events: str) -> None:
        with database.write() as connection:
            for event in events:
                connection.execute("INSERT INTO inbox VALUES ($1, 'q', 0)", [event])

    insert("a")
    with pytest.raises(WriteConflict):
        insert("b", "a")
    assert database.rows("SELECT event_id FROM inbox") == [("a",)]


def test_the_quick_way_refuses_what_might_complete(database: Database, url: str) -> None:
    ledger = open_ledger(url)
    manager = JobProgressManager(ledger)
    call = "CALL reelwork_record_and_flush(1, 'job', 'stage', $1, NULL, NULL, NULL, NULL, NULL, $2, 0, 1, 90, 5, 5)"
    refused = [(["a"], 1)]  # no such stage
    manager.update_expected_and_recheck_completion("job", "stage", 10)
    refused += [([str(number) for number in range(9)], 9)]  # at the threshold
    database.run(call, [array_literal(["a"]), 1])
    refused += [(["a"], 1), (["b", "a"], 2)]  # one that is known
    for ids, count in refused[1:]:
        with pytest.raises(StatementRefused):
            database.run(call, [array_literal(ids), count])
    with pytest.raises(StatementRefused):
        database.run(call.replace("'job'", "'other'"), [array_literal(["a"]), 1])
    (status,) = ledger.stage_status("job")
    assert (status.done, [asset.asset_id for asset in ledger.assets("job", "stage")]) == (1, ["a"])
    ledger.close()


def test_a_server_that_is_killed_and_comes_back() -> None:
    """What was committed is there; the callers meanwhile hear that the store is away; then all goes on by itself."""
    with postgresql_server(durable=True) as server:
        ledger = open_ledger(server.new_database())
        listener = ledger.database.listen()
        ledger.commit(Work(new_job=NewJob(job_id="before", pipeline="p", input_path="x")))
        server.kill()
        with pytest.raises(StoreUnreachable):
            ledger.commit(Work(new_job=NewJob(job_id="meanwhile", pipeline="p", input_path="x")))
        with pytest.raises(StoreUnavailable):
            ledger.jobs()
        while listener.take() is not None:
            assert has_rung(listener)  # first its last words, then the end of the connection
        listener.close()
        server.restart()
        ledger.commit(Work(new_job=NewJob(job_id="after", pipeline="p", input_path="x")))
        server.restart()
        ledger.commit(Work(new_job=NewJob(job_id="at once", pipeline="p", input_path="x")))
        assert sorted(job.job_id for job in ledger.jobs()) == ["after", "at once", "before"]
        ledger.close()


def test_no_error_shows_the_password(url: str) -> None:
    secret = "s3cret"
    assert secret in url
    wrong = url.replace(f":{shared_server().port}/", ":1/")
    with pytest.raises(StoreUnreachable) as refused:
        open_ledger(wrong)
    shown = [str(refused.value), shown_url(url), shown_url("postgresql://host/db?password=s3cret")]
    assert [text for text in shown if secret in text] == []


def test_ids_are_compared_by_their_bytes_whatever_the_database_was_made_with(database: Database) -> None:
    rows = database.rows(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
        "AND collation_name = 'C' AND table_name IN ('assets', 'stages', 'jobs')"
    )
    assert {("assets", "asset_id"), ("assets", "job_id"), ("stages", "stage"), ("jobs", "job_id")} <= set(rows)
