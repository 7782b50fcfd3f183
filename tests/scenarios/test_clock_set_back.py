"""A machine's clock is set back in the middle of a job: queues, leases, retries, watermarks and phases go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reelwork.ledger import JobStatus
from tests.conformance.ledger.stores import Store
from tests.house import run
from tests.scenarios.test_direct_calls import frames
from tests.scenarios.vision import EMBEDDING_FRAMES, TTL_SECONDS, Seen, Vision, vision

DAY_MS, MINUTE_MS = 86_400_000, 60_000
SETTLE_SECONDS = 30


@pytest.mark.parametrize("back_ms", [MINUTE_MS, DAY_MS])
def test_messages_that_wait_in_a_queue_are_handled_at_once(store: Store, tmp_path: Path, back_ms: int) -> None:
    async def test() -> None:
        async with vision(store, tmp_path) as it:
            it.batch(10)
            it.send(frames(10))
            it.house.clock.advance_ms(-back_ms)
            await it.settle()
            assert it.one() == (10, 10, 0, False, "all")
            assert it.seen.matched == [10]

    run(test())


def test_a_message_whose_worker_died_comes_back(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path) as it:
            it.batch(1)
            it.send(frames(1))
            died = await it.house.take_one(EMBEDDING_FRAMES)
            it.house.clock.advance_ms(-DAY_MS)
            again = await it.house.take_one(EMBEDDING_FRAMES)
            assert again.message.event_id == died.message.event_id
            await it.house.handle(again)
            await it.settle()
            assert it.one() == (1, 1, 0, False, "all")

    run(test())


def test_a_worker_whose_message_came_back_meanwhile_doubles_nothing(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path) as it:
            it.batch(1)
            it.send(frames(1))
            slow = await it.house.take_one(EMBEDDING_FRAMES)
            it.house.clock.advance_ms(-DAY_MS)
            await it.settle()
            await it.house.handle(slow)
            await it.settle()
            assert it.one() == (1, 1, 0, False, "all")
            assert it.status.late == 0

    run(test())


def set_back_before(it: Vision) -> None:
    it.house.clock.advance_ms(-DAY_MS)


def let_be(_it: Vision) -> None: ...


@pytest.mark.parametrize("before_the_news", [set_back_before, let_be])
def test_a_stage_that_hears_nothing_more_completes_by_its_watermark(
    store: Store, tmp_path: Path, before_the_news: Callable[[Vision], None]
) -> None:
    """At the latest one time to live after the clock was set back, and once; the job goes on behind it."""

    async def test() -> None:
        async with vision(store, tmp_path) as it:
            it.batch(10)
            await it.settle()
            before_the_news(it)
            it.send(frames(6))
            await it.settle()
            it.house.clock.advance_ms(-DAY_MS)
            await it.sweep()
            it.house.clock.advance(TTL_SECONDS)
            await it.sweep()
            assert it.one() == (10, 6, 0, True, "watermark")
            it.house.clock.advance(SETTLE_SECONDS)
            await it.sweep()
            await it.settle()
            assert it.seen.matched == [6]

    run(test())


def test_a_phase_does_not_wait_for_the_clock_to_come_back(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path, 50, seen=Seen()) as it:
            it.batch(10)
            it.send(frames(5))
            await it.settle()
            assert it.one() == (10, 5, 0, True, "threshold")
            it.house.clock.advance_ms(-DAY_MS)
            await it.sweep()
            await it.settle()
            assert it.house.job(it.job_id).status is JobStatus.RUNNING
            assert it.seen.matched == [5]

    run(test())
