"""The scenarios of the requirements by name, told to the ledger directly: every count is exact."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest

from reelwork.ledger import (
    Completion,
    CompletionPolicy,
    JobProgressManager,
    JobStatus,
    Ledger,
    StageStatus,
    Work,
)
from tests.clock import ManualClock
from tests.conformance.ledger.conftest import kind
from tests.conformance.ledger.stores import Store, dead_letter, failed, moved, running_job

__all__ = ["kind"]

STAGE, OTHER_STAGE = "video.embeddings", "video.keypoints"
TTL_SECONDS = 900
RACES = 1_000


@pytest.fixture
def replica(store: Store) -> Iterator[Ledger]:
    """The same store as `ledger`, opened once more, as by another process."""
    ledger = store.open()
    yield ledger
    ledger.close()


class Counting:
    """A service that counts its frames: what it is told fires, and what the ledger then shows."""

    def __init__(self, ledger: Ledger, threshold: object = 100, *, job_id: str = "job", stage: str = STAGE) -> None:
        policy = CompletionPolicy(threshold, TTL_SECONDS)  # type: ignore[arg-type]
        self._manager = JobProgressManager(ledger, policy=policy, clock=ledger.clock)
        self._ledger, self._job_id, self._stage = ledger, job_id, stage
        self.fired: list[Completion] = []

    def batch(self, total: int) -> None:
        self._keep(self._manager.update_expected_and_recheck_completion(self._job_id, self._stage, total))

    def one_call_each(self, ids: Iterable[str], *, fails: bool = False) -> None:
        for asset_id in ids:
            news = {"failed": [asset_id]} if fails else {"done": [asset_id]}
            self._keep(self._manager.update_job_progress(self._job_id, self._stage, **news))

    def one_call(self, ids: Iterable[str]) -> None:
        self._keep(self._manager.update_job_progress(self._job_id, self._stage, done=ids))

    def watermark(self) -> None:
        for completion in self._manager.expire_watermarks():
            self._keep(completion)

    @property
    def status(self) -> StageStatus:
        return next(found for found in self._ledger.stage_status(self._job_id) if found.stage == self._stage)

    def event(self) -> dict[str, object]:
        """The one completion in the outbox."""
        (row,) = [r for r in self._ledger.outbox(self._job_id) if r.topic == f"{self._stage}.completed"]
        return dict(json.loads(row.body))

    def one(self) -> tuple[int, int, int, bool, str]:
        """The one completion: total, processed, failed, partial, reason. It came back once and went out once."""
        (completion,) = self.fired
        assert self.event() == completion.payload()
        return (
            completion.total_assets,
            completion.processed_assets,
            completion.failed_assets,
            completion.has_partial_completion,
            completion.reason,
        )

    def _keep(self, completion: Completion | None) -> None:
        if completion is not None:
            self.fired.append(completion)


def frames(count: int, *, first: int = 0) -> list[str]:
    return [f"{number:04}" for number in range(first, first + count)]


def test_batch_100_then_100_assets_at_threshold_100(ledger: Ledger) -> None:
    counting = Counting(ledger)
    counting.batch(100)
    counting.one_call_each(frames(99))
    assert counting.fired == []
    counting.one_call_each(frames(1, first=99))
    assert counting.one() == (100, 100, 0, False, "all")


def test_batch_100_then_100_assets_at_threshold_90(ledger: Ledger) -> None:
    counting = Counting(ledger, 90)
    counting.batch(100)
    counting.one_call_each(frames(89))
    assert counting.fired == []
    counting.one_call_each(frames(11, first=89))
    assert counting.one() == (100, 90, 0, True, "threshold")
    assert (counting.status.done, counting.status.late) == (100, 10)


def test_batch_100_then_60_and_the_watermark(ledger: Ledger, clock: ManualClock) -> None:
    counting = Counting(ledger, 90)
    counting.batch(100)
    counting.one_call_each(frames(60))
    clock.advance_ms(TTL_SECONDS * 1000 - 1)
    counting.watermark()
    assert counting.fired == []
    clock.advance_ms(1)
    counting.watermark()
    counting.watermark()
    assert counting.one() == (100, 60, 0, True, "watermark")


def test_assets_before_the_batch(ledger: Ledger) -> None:
    counting = Counting(ledger)
    counting.one_call_each(frames(100))
    assert counting.fired == []
    counting.batch(100)
    assert counting.one() == (100, 100, 0, False, "all")


def test_batch_twice(ledger: Ledger, clock: ManualClock) -> None:
    """The second says nothing new: it moves no watermark and fires nothing, before and after the completion."""
    counting = Counting(ledger)
    counting.batch(10)
    watermark_at = counting.status.watermark_at
    clock.advance(60)
    counting.batch(10)
    assert counting.status.watermark_at == watermark_at
    counting.one_call_each(frames(10))
    counting.batch(10)
    assert counting.one() == (10, 10, 0, False, "all")
    assert ledger.conflicts("job") == []


def test_batch_0(ledger: Ledger) -> None:
    counting = Counting(ledger, 90)
    counting.batch(0)
    assert counting.one() == (0, 0, 0, False, "all")


def test_expected_20_at_90_percent_fires_at_18_never_at_17(ledger: Ledger) -> None:
    counting = Counting(ledger, 90)
    counting.batch(20)
    counting.one_call_each(frames(17))
    assert counting.fired == []
    counting.one_call_each(frames(1, first=17))
    assert counting.one() == (20, 18, 0, True, "threshold")
    counting.one_call_each(frames(2, first=18))
    assert counting.one() == (20, 18, 0, True, "threshold")


def test_threshold_0_fires_at_the_batch(ledger: Ledger) -> None:
    counting = Counting(ledger, 0)
    counting.one_call_each(frames(1))
    assert counting.fired == []
    counting.batch(20)
    assert counting.one() == (20, 1, 0, True, "threshold")


def test_threshold_100_fires_at_the_last_asset(ledger: Ledger) -> None:
    counting = Counting(ledger, 100)
    counting.batch(20)
    counting.one_call_each(frames(19))
    assert counting.fired == []
    counting.one_call_each(frames(1, first=19))
    assert counting.one() == (20, 20, 0, False, "all")


def test_threshold_out_of_range_is_clamped(ledger: Ledger) -> None:
    for threshold, processed in [("-5", 0), ("100.5", 20), ("1e9", 20), (Decimal("-0.001"), 0)]:
        counting = Counting(ledger, threshold, job_id=f"job{threshold}")
        counting.batch(20)
        counting.one_call_each(frames(20))
        assert counting.one()[:3] == (20, processed, 0)


def test_expected_grown_later(ledger: Ledger) -> None:
    counting = Counting(ledger)
    counting.batch(10)
    counting.one_call_each(frames(9))
    counting.batch(12)
    counting.one_call_each(frames(2, first=9))
    assert counting.fired == []
    counting.one_call_each(frames(1, first=11))
    assert counting.one() == (12, 12, 0, False, "all")
    assert ledger.conflicts("job") == []


def test_expected_shrunk_later_is_a_visible_conflict(ledger: Ledger) -> None:
    counting = Counting(ledger)
    counting.batch(10)
    counting.one_call_each(frames(8))
    counting.batch(8)
    assert counting.fired == []
    assert [(found.expected, found.announced) for found in ledger.conflicts("job")] == [(10, 8)]
    counting.one_call_each(frames(2, first=8))
    assert counting.one() == (10, 10, 0, False, "all")


def test_assets_beyond_the_expected_count(ledger: Ledger) -> None:
    """Those after the completion are late; those that come in one call with the last are told in it."""
    counting = Counting(ledger)
    counting.batch(10)
    counting.one_call_each(frames(15))
    assert counting.one() == (10, 10, 0, False, "all")
    assert (counting.status.done, counting.status.late) == (15, 5)
    at_once = Counting(ledger, job_id="at once")
    at_once.batch(10)
    at_once.one_call(frames(15))
    assert at_once.one() == (10, 15, 0, False, "all")


def test_each_failed_asset_is_counted(ledger: Ledger) -> None:
    counting = Counting(ledger)
    counting.batch(10)
    counting.one_call_each(frames(3), fails=True)
    counting.one_call_each(frames(3), fails=True)
    counting.one_call_each(frames(6, first=3))
    assert counting.fired == []
    counting.one_call_each(frames(1, first=9), fails=True)
    assert counting.one() == (10, 6, 4, True, "settled")


def test_a_dead_lettered_asset_settles_its_stage(ledger: Ledger) -> None:
    running_job(ledger)
    counting = Counting(ledger)
    counting.batch(10)
    counting.one_call_each(frames(9))
    letter = failed(STAGE, "0009", error="unreadable", dead_letters=[dead_letter("0009")])
    counting.fired += ledger.commit(letter)
    assert counting.one() == (10, 9, 1, True, "settled")
    assert [found.error for found in ledger.dead_letters("job")] == ["unreadable"]
    assert ledger.job("job").status is JobStatus.RUNNING


def test_a_dead_lettered_message_without_assets_fails_its_job(ledger: Ledger) -> None:
    running_job(ledger)
    counting = Counting(ledger)
    counting.batch(10)
    moves = moved(JobStatus.FAILED, error_message="planner: unreadable").moves
    ledger.commit(Work(moves=moves, dead_letters=[dead_letter("none")]))
    job = ledger.job("job")
    assert (job.status, job.error_message) == (JobStatus.FAILED, "planner: unreadable")
    assert len(ledger.dead_letters("job")) == 1
    assert counting.fired == []


def test_two_vision_services_count_each_for_itself(ledger: Ledger) -> None:
    embedding, keypoint = Counting(ledger), Counting(ledger, stage=OTHER_STAGE)
    for counting in (embedding, keypoint):
        counting.batch(10)
    embedding.one_call_each(frames(10))
    keypoint.one_call_each(frames(9))
    assert keypoint.fired == []
    keypoint.one_call_each(frames(1, first=9))
    assert embedding.one() == keypoint.one() == (10, 10, 0, False, "all")
    assert embedding.event()["event_id"] != keypoint.event()["event_id"]


def test_restart_between_batch_and_assets(store: Store) -> None:
    before = store.open()
    counting = Counting(before)
    counting.batch(10)
    counting.one_call_each(frames(4))
    before.close()
    after = store.open()
    counting = Counting(after)
    counting.one_call_each(frames(10))
    assert counting.one() == (10, 10, 0, False, "all")
    after.close()


def test_two_replicas_share_a_stage(ledger: Ledger, replica: Ledger) -> None:
    """Each does every other frame; one of them announces, one of them hears that it is complete."""
    one, other = Counting(ledger), Counting(replica)
    one.batch(100)
    for number in range(0, 100, 2):
        one.one_call_each(frames(1, first=number))
        other.one_call_each(frames(1, first=number + 1))
    assert one.fired == []
    assert other.one() == (100, 100, 0, False, "all")


def test_both_replicas_record_the_last_asset_at_the_same_instant(store: Store, ledger: Ledger, replica: Ledger) -> None:
    """A thousand times, by two threads that each have the store open."""
    races = store.often(RACES // 10) if store.is_emulated else RACES
    jobs = [f"job-{number:04}" for number in range(races)]
    policy = CompletionPolicy(100, TTL_SECONDS)
    managers = [JobProgressManager(each, policy=policy, clock=each.clock) for each in (ledger, replica)]
    announcements = [Work(stages=[managers[0].announcement(job_id, STAGE, 1)]) for job_id in jobs]
    assert ledger.commit_all(announcements) == [[]] * races
    barrier = Barrier(2)

    def record(manager: JobProgressManager) -> list[Completion | None]:
        fired = []
        for job_id in jobs:
            barrier.wait()
            fired.append(manager.update_job_progress(job_id, STAGE, done=["last"]))
        return fired

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(record, managers)
    for job_id, first, second in zip(jobs, one, other, strict=True):
        assert (first is None) != (second is None)
        (row,) = ledger.outbox(job_id)
        assert json.loads(row.body) == (first or second).payload()  # type: ignore[union-attr]
        (stage,) = ledger.stage_status(job_id)
        assert (stage.done, stage.late) == (1, 0)
