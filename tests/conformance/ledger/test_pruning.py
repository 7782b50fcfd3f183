"""What ended long ago goes, whole; what is not over, or of which something may come, stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from uuid import uuid4

import pytest

from reelwork.errors import StoreUnavailable
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
from reelwork.ledger.dynamodb import pruning as dynamodb_pruning
from reelwork.ledger.sql import SqlLedger
from reelwork.message import Message
from tests.clock import ManualClock
from tests.conformance.ledger.audit import row_counts
from tests.conformance.ledger.stores import ALIVE, STAGES, Store

DAY_SECONDS = 86_400
NEVER_THERE = ("messages", "batches")


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


def prune(ledger: Ledger, *, ended_before_ms: int) -> list[str]:
    gone = []
    for job_id in ledger.prunable_jobs(ended_before_ms=ended_before_ms):
        if ledger.claim_job(job_id, ended_before_ms=ended_before_ms):
            ledger.remove_rows(job_id)
            gone.append(job_id)
    return gone


@contextmanager
def stopping_after_the_first(ledger: Ledger) -> Iterator[None]:
    """The ledger can remove rows once."""
    store: Any = ledger.database if isinstance(ledger, SqlLedger) else ledger.store  # type: ignore[attr-defined]
    name = "transact" if isinstance(ledger, SqlLedger) else "delete_many"
    remove, times = getattr(store, name), count()

    def stopping(*arguments: Any) -> Any:
        if next(times):
            raise StoreUnavailable("the process was stopped")
        return remove(*arguments)

    setattr(store, name, stopping)
    yield
    delattr(store, name)


@pytest.mark.parametrize("end", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_of_a_job_that_ended_long_ago_nothing_is_left(ledger: Ledger, clock: ManualClock, end: JobStatus) -> None:
    gone = job(ledger, end)
    before = row_counts(ledger)
    assert all(count for name, count in before.items() if name not in NEVER_THERE), before
    clock.advance(2 * DAY_SECONDS)
    assert prune(ledger, ended_before_ms=ledger.now_ms() - DAY_SECONDS * 1000) == [gone]
    assert not any(row_counts(ledger).values())


def test_every_other_job_keeps_every_row(ledger: Ledger, clock: ManualClock) -> None:
    stays = [
        job(ledger, JobStatus.COMPLETED, is_heard=False),  # somebody has yet to hear of its end
        job(ledger, None),  # not over: it failed by its stage, and is brought back below
    ]
    ledger.commit(Work(stages=[STAGES.outcomes(stays[1], "segments", [AssetOutcome("b")])]))
    clock.advance(2 * DAY_SECONDS)
    stays.append(job(ledger, JobStatus.COMPLETED))  # too young
    before = row_counts(ledger)
    gone = job(ledger, JobStatus.COMPLETED)
    assert ledger.claim_job(gone, ended_before_ms=ledger.now_ms())
    ledger.remove_rows(gone)
    assert prune(ledger, ended_before_ms=ledger.now_ms() - DAY_SECONDS * 1000) == []
    assert row_counts(ledger) == before
    assert set(ledger.find_jobs(stays)) == set(stays)


def test_a_job_that_was_brought_back_meanwhile_is_left_alone(ledger: Ledger, clock: ManualClock) -> None:
    job_id = job(ledger, JobStatus.FAILED)
    clock.advance(2 * DAY_SECONDS)
    (found,) = ledger.prunable_jobs(ended_before_ms=ledger.now_ms())
    (letter,) = ledger.dead_letters(job_id)
    ledger.commit(Work(replay=letter.dead_letter_id))
    before = row_counts(ledger)
    assert not ledger.claim_job(found, ended_before_ms=ledger.now_ms())  # what is replayed is on its way
    assert row_counts(ledger) == before
    ledger.mark_finished([row.sequence for row in ledger.outbox(job_id)])
    ledger.commit(Work(stages=[STAGES.outcomes(job_id, "segments", [AssetOutcome("b")])]))
    assert ledger.job(found).status is JobStatus.RUNNING
    assert not ledger.claim_job(found, ended_before_ms=ledger.now_ms())
    assert ledger.dead_letters(job_id)


def test_a_claimed_job_stays_over_whatever_comes(ledger: Ledger, clock: ManualClock) -> None:
    """Its stage fell short; the asset that was missing comes late, before the rows are gone."""
    job_id = job(ledger, JobStatus.FAILED)
    clock.advance(2 * DAY_SECONDS)
    assert ledger.claim_job(job_id, ended_before_ms=ledger.now_ms())
    assert ledger.dead_letters(job_id) == []
    assert ledger.commit(Work(stages=[STAGES.outcomes(job_id, "segments", [AssetOutcome("b")])])) == []
    assert ledger.job(job_id).status is JobStatus.FAILED
    assert prune(ledger, ended_before_ms=ledger.now_ms()) == [job_id]
    assert not any(row_counts(ledger).values())


def test_many_rows_go_a_few_at_a_time_and_what_was_stopped_is_gone_on_with(
    ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(dynamodb_pruning, "ITEMS_AT_ONCE", 3)
    job_id = job(ledger, JobStatus.COMPLETED, assets=10)
    clock.advance(2 * DAY_SECONDS)
    assert ledger.claim_job(job_id, ended_before_ms=ledger.now_ms())
    before = row_counts(ledger)["assets"]
    with stopping_after_the_first(ledger), pytest.raises(StoreUnavailable):
        ledger.remove_rows(job_id)
    assert 1 <= before - row_counts(ledger)["assets"] <= 3
    assert prune(ledger, ended_before_ms=ledger.now_ms()) == [job_id]
    assert not any(row_counts(ledger).values())


def test_there_are_more_jobs_than_a_page(ledger: Ledger, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "JOBS_AT_ONCE", 2)
    jobs = {job(ledger, JobStatus.COMPLETED, assets=1) for _ in range(5)}
    store.clock.advance(2 * DAY_SECONDS)
    assert set(prune(ledger, ended_before_ms=ledger.now_ms())) == jobs
