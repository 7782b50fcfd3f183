"""The scenarios of the requirements by name, through queues, workers' handling, sweeper and conductor.

A worker records what has finished meanwhile in one group, so a completion may come a few assets behind its threshold:
counts are asserted exactly where a message holds one frame, and as bounds elsewhere.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from reelwork.ledger import JobStatus
from tests.conformance.ledger.stores import Store
from tests.house import PLANS, run
from tests.scenarios.test_direct_calls import frames
from tests.scenarios.vision import (
    EMBEDDING_BATCH,
    EMBEDDING_FRAMES,
    EMBEDDINGS,
    KEYPOINT_BATCH,
    KEYPOINT_FRAMES,
    KEYPOINTS,
    TTL_SECONDS,
    Seen,
    Vision,
    vision,
)

RACES = 20


def test_batch_100_then_100_assets_at_threshold_100(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path, 100) as it:
            it.batch(100)
            it.send(frames(99))
            await it.settle()
            assert it.none_yet()
            it.send(frames(1, first=99))
            await it.settle()
            assert it.one() == it.one(KEYPOINTS) == (100, 100, 0, False, "all")
            assert it.seen.matched == [100]

    run(test())


def test_batch_100_then_100_assets_at_threshold_90(store: Store, tmp_path: Path) -> None:
    """The event goes out at once; the job goes on with all hundred."""

    async def test() -> None:
        async with vision(store, tmp_path, 90) as it:
            it.batch(100)
            it.send(frames(89))
            await it.settle()
            assert it.none_yet()
            it.send(frames(6, first=89))
            await it.settle()
            assert it.one() == (100, 90, 0, True, "threshold")
            assert (it.house.job(it.job_id).phase, it.seen.matched) == ("feature_extraction", [])
            it.send(frames(5, first=95))
            await it.settle()
            await it.sweep()
            await it.settle()
            assert it.one() == (100, 90, 0, True, "threshold")
            assert (it.house.job(it.job_id).phase, it.seen.matched) == ("matching", [100])

    run(test())


def test_batch_100_then_60_and_the_watermark(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path, 90) as it:
            it.batch(100)
            it.send(frames(60), frames_per_message=10)
            await it.settle()
            it.house.clock.advance_ms(round(TTL_SECONDS * 1000) - 1)
            await it.sweep()
            assert it.none_yet()
            it.house.clock.advance_ms(1)
            await it.sweep()
            await it.sweep()
            assert it.one() == (100, 60, 0, True, "watermark")

    run(test())


def test_assets_before_the_batch(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path) as it:
            it.send(frames(100), frames_per_message=10)
            await it.settle()
            assert it.none_yet()
            it.batch(100)
            await it.settle()
            assert it.one() == (100, 100, 0, False, "all")

    run(test())


def test_batch_twice(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path) as it:
            it.batch(10)
            it.batch(10)
            it.send(frames(10))
            await it.settle()
            it.batch(10)
            await it.settle()
            assert it.one() == (10, 10, 0, False, "all")
            assert it.house.jobs.detail(it.job_id).conflicts == []

    run(test())


def test_everything_three_times_leaves_no_word_of_it_in_the_log(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path, 100) as it:
            with structlog.testing.capture_logs() as lines:
                for _ in range(3):
                    it.batch(20)
                    it.send(frames(20), frames_per_message=5)
                    await it.settle()
                await it.sweep()
                await it.settle()
            assert it.one() == it.one(KEYPOINTS) == (20, 20, 0, False, "all")
            assert [line["event"] for line in lines] == ["reelwork.conductor.moved"]

    run(test())


def test_batch_0(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path, 90) as it:
            it.batch(0)
            await it.settle()
            assert it.one() == (0, 0, 0, False, "all")
            assert it.seen.matched == [0]

    run(test())


def test_expected_20_at_90_percent_fires_at_18_never_at_17(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path, 90) as it:
            it.batch(20)
            it.send(frames(17), frames_per_message=17)
            await it.settle()
            assert it.none_yet()
            it.send(frames(3, first=17), frames_per_message=3)
            await it.settle()
            total, processed, failed, is_partial, _ = it.one()
            assert (total, failed, is_partial) == (20, 0, processed < 20)
            assert 18 <= processed <= 20

    run(test())


def test_threshold_0_fires_at_the_batch(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path, 0) as it:
            it.send(frames(1))
            await it.settle()
            assert it.none_yet()
            it.batch(20)
            await it.settle()
            assert it.one() == (20, 1, 0, True, "threshold")

    run(test())


def test_threshold_100_fires_at_the_last_asset(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path, 100) as it:
            it.batch(20)
            it.send(frames(19), frames_per_message=19)
            await it.settle()
            assert it.none_yet()
            it.send(frames(1, first=19))
            await it.settle()
            assert it.one() == (20, 20, 0, False, "all")

    run(test())


def test_threshold_out_of_range_is_clamped(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        for threshold, processed in [(-5, 0), (100.5, 20)]:
            async with vision(store, tmp_path, threshold) as it:
                it.batch(20)
                await it.settle()
                it.send(frames(20))
                await it.settle()
                assert it.one()[:3] == (20, processed, 0)

    run(test())


def test_expected_grown_later(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path) as it:
            it.batch(10)
            it.send(frames(9))
            await it.settle()
            it.batch(12)
            await it.settle()
            it.send(frames(2, first=9))
            await it.settle()
            assert it.none_yet()
            it.send(frames(1, first=11))
            await it.settle()
            assert it.one() == (12, 12, 0, False, "all")
            assert it.house.jobs.detail(it.job_id).conflicts == []

    run(test())


def test_expected_shrunk_later_is_a_visible_conflict(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path) as it:
            it.batch(10)
            it.send(frames(8))
            await it.settle()
            it.batch(8)
            await it.settle()
            assert it.none_yet()
            conflicts = it.house.jobs.detail(it.job_id).conflicts
            assert sorted((found.stage, found.expected, found.announced) for found in conflicts) == [
                (EMBEDDINGS, 10, 8),
                (KEYPOINTS, 10, 8),
            ]
            assert it.house.letters() == []
            it.send(frames(2, first=8))
            await it.settle()
            assert it.one() == (10, 10, 0, False, "all")

    run(test())


def test_assets_beyond_the_expected_count(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path) as it:
            it.batch(10)
            await it.settle()
            it.send(frames(15))
            await it.settle()
            assert it.one() == (10, 10, 0, False, "all")
            assert (it.status.done, it.status.late) == (15, 5)

    run(test())


def test_each_failed_asset_is_counted(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        seen = Seen(unreadable=set(frames(4)))
        async with vision(store, tmp_path, seen=seen) as it:
            it.batch(10)
            it.send(frames(10), frames_per_message=5)
            await it.settle()
            assert it.one() == (10, 6, 4, True, "settled")

    run(test())


def test_a_dead_lettered_asset_settles_its_stage(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        seen = Seen(unreadable={"0003"})
        async with vision(store, tmp_path, seen=seen) as it:
            it.batch(10)
            it.send(frames(10))
            await it.settle()
            assert it.one() == (10, 9, 1, True, "settled")
            letters = it.house.letters(it.job_id)
            assert sorted((letter.queue, letter.stage) for letter in letters) == [
                (EMBEDDING_FRAMES, EMBEDDINGS),
                (KEYPOINT_FRAMES, KEYPOINTS),
            ]
            assert it.house.job(it.job_id).status is JobStatus.RUNNING

    run(test())


def test_a_dead_lettered_message_without_assets_fails_its_job(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        seen = Seen(unreadable={"the video itself"})
        async with vision(store, tmp_path, seen=seen) as it:
            job_id = it.house.submit()
            await it.settle()
            job = it.house.job(job_id)
            assert (job.status, job.error_message) == (JobStatus.FAILED, "plans: unreadable")
            (letter,) = it.house.letters(job_id)
            assert (letter.queue, letter.stage) == (PLANS, None)
            assert it.house.topics(job_id)[-1] == "job.failed"

    run(test())


def test_two_vision_services_count_each_for_itself(store: Store, tmp_path: Path) -> None:
    """Two replicas of each, on the queues of their own service only: neither takes a message of the other's."""

    async def test() -> None:
        embedding_queues, keypoint_queues = (EMBEDDING_FRAMES, EMBEDDING_BATCH), (KEYPOINT_FRAMES, KEYPOINT_BATCH)
        async with (
            vision(store, tmp_path) as embedding,
            vision(store, tmp_path, job_id=embedding.job_id) as other_embedding,
            vision(store, tmp_path, job_id=embedding.job_id) as keypoint,
            vision(store, tmp_path, job_id=embedding.job_id) as other_keypoint,
        ):
            embedding.batch(40)
            embedding.send(frames(40))
            await embedding.house.settle(EMBEDDING_BATCH)
            await _take_turns(embedding, other_embedding, queue=EMBEDDING_FRAMES)
            assert embedding.one() == (40, 40, 0, False, "all")
            assert embedding.none_yet(KEYPOINTS)
            await keypoint.house.settle(KEYPOINT_BATCH)
            await _take_turns(keypoint, other_keypoint, queue=KEYPOINT_FRAMES)
            assert embedding.one(KEYPOINTS) == (40, 40, 0, False, "all")
            assert await embedding.house.step(*embedding_queues, *keypoint_queues) == 0
            for one, other, stage, never in (
                (embedding, other_embedding, EMBEDDINGS, KEYPOINTS),
                (keypoint, other_keypoint, KEYPOINTS, EMBEDDINGS),
            ):
                assert one.seen.frames[stage] + other.seen.frames[stage] == dict.fromkeys(frames(40), 1)
                assert one.seen.frames[stage].total() == other.seen.frames[stage].total() == 20
                assert not one.seen.frames[never]
                assert not other.seen.frames[never]

    run(test())


def test_restart_between_batch_and_assets(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path) as before:
            before.batch(10)
            before.send(frames(4))
            await before.house.settle(EMBEDDING_BATCH, KEYPOINT_BATCH)
            await before.house.step(EMBEDDING_FRAMES)
        async with vision(store, tmp_path, job_id=before.job_id) as after:
            after.send(frames(6, first=4))
            await after.settle()
            assert after.one() == after.one(KEYPOINTS) == (10, 10, 0, False, "all")
            assert after.seen.matched == [10]

    run(test())


def test_two_replicas_share_a_stage(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            vision(store, tmp_path) as one,
            vision(store, tmp_path, job_id=one.job_id) as other,
        ):
            one.batch(100)
            one.send(frames(100), frames_per_message=5)
            await other.house.settle(EMBEDDING_BATCH)
            await _take_turns(one, other, queue=EMBEDDING_FRAMES)
            assert one.one() == (100, 100, 0, False, "all")
            assert one.seen.frames[EMBEDDINGS] + other.seen.frames[EMBEDDINGS] == dict.fromkeys(frames(100), 1)
            assert one.seen.frames[EMBEDDINGS].total() == other.seen.frames[EMBEDDINGS].total() == 50

    run(test())


def test_both_replicas_record_the_last_asset_at_the_same_instant(store: Store, tmp_path: Path) -> None:
    """Each has the same message in hand, because the lease of the first ran out."""

    async def test() -> None:
        async with vision(store, tmp_path) as one, vision(store, tmp_path, job_id=one.job_id) as other:
            for _ in range(RACES):
                one.job_id = other.job_id = one.house.start()
                one.batch(2)
                one.send(frames(2), frames_per_message=2)
                await one.house.settle(EMBEDDING_BATCH)
                slow = await one.house.take_one(EMBEDDING_FRAMES)
                await one.house.crash(slow)
                fast = await other.house.take_one(EMBEDDING_FRAMES)
                assert fast.message.event_id == slow.message.event_id
                await asyncio.gather(one.house.handle(slow), other.house.handle(fast))
                assert one.one() == (2, 2, 0, False, "all")
                assert (one.status.done, one.status.late) == (2, 0)

    run(test())


async def _take_turns(one: Vision, other: Vision, *, queue: str) -> None:
    """Two replicas at one queue: each takes a message and handles it while the other handles the next."""
    while True:
        deliveries = [(replica, await replica.house.take(queue)) for replica in (one, other)]
        at_work = [replica.house.handle(delivery) for replica, taken in deliveries for delivery in taken]
        if not at_work:
            return
        await asyncio.gather(*at_work)
