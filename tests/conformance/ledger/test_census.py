"""What there is in a ledger, in numbers."""

from __future__ import annotations

from reelwork.events import VideoSubmitted
from reelwork.ledger import JobStatus, Ledger, Work
from reelwork.ledger.census import RECENT_MS, OpenStages
from tests.clock import ManualClock
from tests.conformance.ledger.stores import TTL_SECONDS, announced, dead_letter, done, moved, new_job, running_job


def test_of_an_empty_one(ledger: Ledger) -> None:
    census = ledger.census()
    assert census.jobs == {"pending": 0, "running": 0}
    assert census.ended == {"completed": 0, "failed": 0, "cancelled": 0}
    assert (census.open_stages, census.dead_letters, census.due_since) == ({}, {}, None)
    assert (census.unpublished, census.unpublished_since, census.unconsumed) == (0, None, 0)


def test_jobs_by_status(ledger: Ledger, clock: ManualClock) -> None:
    ledger.commit(Work(new_job=new_job("waits")))
    for name in ("a", "b", "c", "d"):
        running_job(ledger, name)
    ledger.commit(moved(JobStatus.COMPLETED, job_id="a"))
    ledger.commit(moved(JobStatus.FAILED, job_id="b", error_message="out of luck"))
    ledger.commit(moved(JobStatus.CANCELLED, job_id="c"))
    assert ledger.census().jobs == {"pending": 1, "running": 1}
    assert ledger.census().ended == {"completed": 1, "failed": 1, "cancelled": 1}
    ledger.mark_swept("c")
    clock.advance_ms(RECENT_MS + 1)
    assert ledger.census().jobs == {"pending": 1, "running": 1}
    assert sum(ledger.census().ended.values()) == 0


def test_open_stages_and_watermarks_that_are_overdue(ledger: Ledger, clock: ManualClock) -> None:
    born = clock.now_ms
    for name in ("one", "two"):
        running_job(ledger, name)
        ledger.commit(announced("frames", 2, job_id=name))
        clock.advance(1)
    ledger.commit(announced("sounds", 0, job_id="one"))  # complete at once
    assert ledger.census().open_stages == {"frames": OpenStages(2, born)}
    assert ledger.census().due_since is None
    clock.advance(TTL_SECONDS)
    assert ledger.census().due_since == born + round(TTL_SECONDS * 1000)
    ledger.commit(moved(JobStatus.FAILED, job_id="one", error_message="waits for a replay"))
    assert ledger.census().due_since == born + 1_000 + round(TTL_SECONDS * 1000)
    ledger.commit(done("frames", "a", "b", job_id="two"))
    assert ledger.census().open_stages == {"frames": OpenStages(1, born)}
    assert ledger.census().due_since is None


def test_the_outbox_and_dead_letters(ledger: Ledger, clock: ManualClock) -> None:
    ledger.commit(Work(events=[VideoSubmitted(job_id="a")]))
    born = clock.now_ms
    clock.advance(5)
    ledger.commit(Work(events=[VideoSubmitted(job_id="b")]))
    census = ledger.census()
    assert (census.unpublished, census.unpublished_since, census.unconsumed) == (2, born, 0)
    first, second = ledger.unpublished()
    ledger.mark_published([first.sequence, second.sequence], look_again_at={first.sequence: 0, second.sequence: 0})
    ledger.mark_finished([first.sequence])
    census = ledger.census()
    assert (census.unpublished, census.unpublished_since, census.unconsumed) == (0, None, 1)
    running_job(ledger)
    ledger.commit(Work(dead_letters=[dead_letter("a"), dead_letter("b")]))
    assert ledger.census().dead_letters == {"q.frames": 2}
    ledger.commit(Work(replay=ledger.dead_letters()[0].dead_letter_id))
    assert ledger.census().dead_letters == {"q.frames": 1}
