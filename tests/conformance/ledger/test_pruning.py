"""What ended long ago goes, whole; what is not over, or of which something may come, stays as it is."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import text

from reelwork.ledger import (
    AssetOutcome,
    AssetState,
    Inbox,
    JobMove,
    JobStatus,
    Ledger,
    NewDeadLetter,
    NewJob,
    Work,
    pruning,
)
from reelwork.ledger.pruning import claim_job, prunable_jobs, remove_rows
from reelwork.ledger.schema import metadata
from reelwork.ledger.sql import SqlLedger
from reelwork.message import Message
from tests.clock import ManualClock
from tests.conformance.ledger.stores import ALIVE, STAGES, Store

DAY_SECONDS = 86_400
TABLES = sorted(set(metadata.tables) - {"leases"})


def rows(ledger: SqlLedger) -> dict[str, int]:
    with ledger.database.reading() as connection:
        return {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in TABLES}


def job(ledger: Ledger, end: JobStatus | None, *, assets: int = 5, is_heard: bool = True) -> str:
    """With rows in every table. end: None = it is over by now, but an asset that comes late brings it back.

    is_heard: everybody has consumed its events.
    """
    job_id, stage = str(uuid4()), "frames" if end in (JobStatus.COMPLETED, JobStatus.CANCELLED) else "segments"
    ledger.commit(Work(new_job=NewJob(job_id=job_id, pipeline="tiny", input_path="input")))
    ledger.commit(Work(moves=[JobMove(job_id=job_id, allowed=ALIVE, to=JobStatus.RUNNING)]))
    event = Message(event_id=str(uuid4()), job_id=job_id, topic="tiny.next", body="{}")
    outcomes = [AssetOutcome(f"a{number:05d}") for number in range(assets)]
    failed = AssetOutcome("b", AssetState.FAILED, error="torn")
    ledger.commit(Work(stages=[STAGES.announcement(job_id, stage, assets + 1)], events=[event]))
    ledger.commit(Work(stages=[STAGES.announcement(job_id, stage, 1)]))
    ledger.commit(Work(stages=[STAGES.outcomes(job_id, stage, [*outcomes, failed])]))
    letter = NewDeadLetter(
        job_id=job_id,
        queue="q",
        stage="segments",
        topic="t",
        event_id=str(uuid4()),
        body="{}",
        error="torn",
        attempts=5,
    )
    ledger.commit(Work(dead_letters=[letter], consumed=[Inbox("q.next", event.event_id)]))
    if stage == "frames":
        ledger.commit(Work(moves=[JobMove(job_id=job_id, allowed=ALIVE, to=end)]))
    assert ledger.job(job_id).status is (end or JobStatus.FAILED)
    if is_heard:
        ledger.mark_finished([row.sequence for row in ledger.outbox(job_id)])
    return job_id


def prune(ledger: SqlLedger, *, ended_before_ms: int) -> list[str]:
    gone = []
    for job_id in prunable_jobs(ledger.database, ended_before_ms=ended_before_ms):
        if claim_job(ledger.database, job_id, ended_before_ms=ended_before_ms):
            remove_rows(ledger.database, job_id)
            gone.append(job_id)
    return gone


@pytest.fixture
def sql(ledger: Ledger) -> SqlLedger:
    assert isinstance(ledger, SqlLedger)
    return ledger


@pytest.mark.parametrize("end", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_of_a_job_that_ended_long_ago_nothing_is_left(sql: SqlLedger, clock: ManualClock, end: JobStatus) -> None:
    gone = job(sql, end)
    before = rows(sql)
    assert all(before[table] for table in TABLES if table != "messages"), before
    clock.advance(2 * DAY_SECONDS)
    assert prune(sql, ended_before_ms=sql.now_ms() - DAY_SECONDS * 1000) == [gone]
    assert rows(sql) == dict.fromkeys(TABLES, 0)


def test_every_other_job_keeps_every_row(sql: SqlLedger, clock: ManualClock) -> None:
    stays = [
        job(sql, JobStatus.COMPLETED, is_heard=False),  # somebody has yet to hear of its end
        job(sql, None),  # not over: it failed by its stage, and is brought back below
    ]
    sql.commit(Work(stages=[STAGES.outcomes(stays[1], "segments", [AssetOutcome("b")])]))
    clock.advance(2 * DAY_SECONDS)
    stays.append(job(sql, JobStatus.COMPLETED))  # too young
    before = rows(sql)
    gone = job(sql, JobStatus.COMPLETED)
    assert claim_job(sql.database, gone, ended_before_ms=sql.now_ms())
    remove_rows(sql.database, gone)
    assert prune(sql, ended_before_ms=sql.now_ms() - DAY_SECONDS * 1000) == []
    assert rows(sql) == before
    assert set(sql.find_jobs(stays)) == set(stays)


def test_a_job_that_was_brought_back_meanwhile_is_left_alone(sql: SqlLedger, clock: ManualClock) -> None:
    job_id = job(sql, JobStatus.FAILED)
    clock.advance(2 * DAY_SECONDS)
    (found,) = prunable_jobs(sql.database, ended_before_ms=sql.now_ms())
    (letter,) = sql.dead_letters(job_id)
    sql.commit(Work(replay=letter.dead_letter_id))
    before = rows(sql)
    assert not claim_job(sql.database, found, ended_before_ms=sql.now_ms())  # what is replayed is on its way
    assert rows(sql) == before
    sql.mark_finished([row.sequence for row in sql.outbox(job_id)])
    sql.commit(Work(stages=[STAGES.outcomes(job_id, "segments", [AssetOutcome("b")])]))
    assert sql.job(found).status is JobStatus.RUNNING
    assert not claim_job(sql.database, found, ended_before_ms=sql.now_ms())
    assert sql.dead_letters(job_id)


def test_a_claimed_job_stays_over_whatever_comes(sql: SqlLedger, clock: ManualClock) -> None:
    """Its stage fell short; the asset that was missing comes late, before the rows are gone."""
    job_id = job(sql, JobStatus.FAILED)
    clock.advance(2 * DAY_SECONDS)
    assert claim_job(sql.database, job_id, ended_before_ms=sql.now_ms())
    assert sql.dead_letters(job_id) == []
    assert sql.commit(Work(stages=[STAGES.outcomes(job_id, "segments", [AssetOutcome("b")])])) == []
    assert sql.job(job_id).status is JobStatus.FAILED
    assert prune(sql, ended_before_ms=sql.now_ms()) == [job_id]
    assert rows(sql) == dict.fromkeys(TABLES, 0)


def test_many_rows_go_a_few_at_a_time_and_what_was_stopped_is_gone_on_with(
    sql: SqlLedger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "ROWS_AT_ONCE", 3)
    job_id = job(sql, JobStatus.COMPLETED, assets=10)
    clock.advance(2 * DAY_SECONDS)
    assert claim_job(sql.database, job_id, ended_before_ms=sql.now_ms())
    some = sql.database.transact(lambda connection: pruning._remove(connection, (pruning.SOME_ASSETS,), job_id))
    assert some == 3
    assert prune(sql, ended_before_ms=sql.now_ms()) == [job_id]
    assert rows(sql) == dict.fromkeys(TABLES, 0)


def test_there_are_more_jobs_than_a_page(sql: SqlLedger, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "JOBS_AT_ONCE", 2)
    jobs = {job(sql, JobStatus.COMPLETED, assets=1) for _ in range(5)}
    store.clock.advance(2 * DAY_SECONDS)
    assert set(prune(sql, ended_before_ms=sql.now_ms())) == jobs
