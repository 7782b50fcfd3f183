"""Events reach the broker at least once, in order, and again until every queue has consumed them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reelwork.broker import Faults, MemoryBroker
from reelwork.errors import PermanentError, StoreUnavailable
from reelwork.ledger import AssetState, JobStatus
from reelwork.message import Message
from reelwork.runtime import Phase
from reelwork.runtime.leadership import LEASE_SECONDS
from reelwork.runtime.relay import DOUBLINGS_MAX, FAILURE_PAUSE_SECONDS, LEASE
from tests.clock import ManualClock
from tests.house import (
    ITEMS,
    PLANS,
    STAGE,
    House,
    ItemDone,
    Submitted,
    open_house,
    plain_service,
    run,
    stage_service,
)

AFTER_SECONDS = 300.0


def start(_event: object, context: Any) -> None:
    context.start_job()


def house_of(folder: Path, **options: Any) -> Any:
    return open_house(folder, plain_service(start), in_memory=True, **options)


class DeafBroker(MemoryBroker):
    """Refuses what is published until it is told otherwise."""

    is_deaf = True

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.is_deaf:
            raise StoreUnavailable("no broker")
        await super().publish(messages)


class TestPublishing:
    def test_marks_only_what_the_broker_has_confirmed(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path) as house:
                deaf = DeafBroker(clock=house.clock)
                await deaf.declare(house.broker.topology)
                house.backends.broker = deaf
                relay = house.relay = house.backends.relay()
                job_id = house.submit()
                with pytest.raises(StoreUnavailable):
                    await relay.publish_batch()
                assert len(house.backends.ledger.unpublished()) == 1
                deaf.is_deaf = False
                assert await relay.publish_batch() == 1
                assert await relay.publish_batch() == 0
                await house.settle()
                assert house.job(job_id).status is JobStatus.RUNNING

        run(test())

    def test_goes_on_when_the_broker_is_back(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path) as house:
                deaf, stop = DeafBroker(clock=house.clock), asyncio.Event()

                async def sleep(seconds: float) -> None:
                    if seconds == FAILURE_PAUSE_SECONDS:
                        deaf.is_deaf = False
                    else:
                        await asyncio.sleep(seconds)

                await deaf.declare(house.broker.topology)
                house.backends.broker = deaf
                object.__setattr__(house.backends.world, "sleep", sleep)
                job_id = house.submit()
                relaying = asyncio.create_task(house.backends.relay().run(stop))
                while not await deaf.holds(job_id, [PLANS]):
                    await asyncio.sleep(0.01)
                stop.set()
                await relaying

        run(test())

    def test_keeps_the_order_of_a_jobs_events(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path) as house:
                job_ids = [house.submit() for _ in range(5)]
                assert [d.message.job_id for d in await house.take(PLANS, limit=9)] == job_ids

        run(test())


class TestTurns:
    def test_of_two_relays_one_publishes(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path) as house:
                first, second = house.backends.relay(), house.backends.relay()
                house.submit()
                assert await first.publish_batch() == 1
                house.submit()
                assert (await second.publish_batch(), await first.publish_batch()) == (0, 1)
                house.clock.advance(AFTER_SECONDS)
                assert (await second.republish_unconsumed(), await first.republish_unconsumed()) == (0, 2)

        run(test())

    def test_the_other_takes_over_from_one_that_ended_at_once_and_from_one_that_died_after_a_while(
        self, tmp_path: Path
    ) -> None:
        async def test() -> None:
            async with house_of(tmp_path) as house:
                time = ManualClock()
                object.__setattr__(house.backends.world, "monotonic", time)
                first, second, third = (house.backends.relay() for _ in range(3))
                stop = asyncio.Event()
                house.submit()
                assert (await first.publish_batch(), await second.publish_batch()) == (1, 0)
                stop.set()
                await first.run(stop)
                house.submit()
                assert await second.publish_batch() == 1
                house.submit()
                assert await third.publish_batch() == 0
                time.advance(LEASE_SECONDS - 0.001)
                assert await third.publish_batch() == 0
                time.advance(0.001)
                assert await third.publish_batch() == 1
                house.submit()
                assert (await second.publish_batch(), await third.publish_batch()) == (0, 1)

        run(test())

    def test_nobody_takes_over_while_a_broker_takes_its_time(self, tmp_path: Path) -> None:
        class SlowBroker(MemoryBroker):
            async def publish(self, messages: Sequence[Message]) -> None:
                for _ in range(10):
                    beats = ledger.lease(LEASE).beats
                    time.advance(LEASE_SECONDS / 2)
                    while ledger.lease(LEASE).beats == beats:
                        await asyncio.sleep(0.001)
                    assert await second.publish_batch() == 0
                await super().publish(messages)

        async def sleep(_seconds: float) -> None:
            await asyncio.sleep(0.001)

        time = ManualClock()

        async def test() -> None:
            nonlocal second, ledger
            async with house_of(tmp_path) as house:
                ledger, slow = house.backends.ledger, SlowBroker(clock=house.clock)
                await slow.declare(house.broker.topology)
                house.backends.broker = slow
                object.__setattr__(house.backends.world, "monotonic", time)
                object.__setattr__(house.backends.world, "sleep", sleep)
                first, second = house.backends.relay(), house.backends.relay()
                house.submit()
                assert await first.publish_batch() == 1

        second: Any = None
        ledger: Any = None
        run(test())

    def test_a_commit_of_another_process_wakes_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """And so does its end: with a poll as rare as this one neither would come in time."""
        monkeypatch.setattr("reelwork.runtime.relay.IDLE_SECONDS", 3_600.0)

        async def test() -> None:
            async with house_of(tmp_path) as house, house_of(tmp_path) as other:
                stop = asyncio.Event()
                relaying = asyncio.create_task(house.relay.run(stop))
                job_ids = []
                for _ in range(3):
                    job_ids.append(other.submit())
                    while not await house.broker.holds(job_ids[-1], [PLANS]):
                        await asyncio.sleep(0.001)
                stop.set()
                await relaying

        run(test())


class TestRepublishing:
    def test_one_sweep_sees_to_all_that_is_due(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("reelwork.runtime.relay.BATCH_SIZE", 2)

        async def test() -> None:
            async with house_of(tmp_path) as house:
                job_ids = [house.submit() for _ in range(7)]
                await house.settle()
                house.clock.advance(AFTER_SECONDS)
                await house.sweeper().sweep()
                rows = [row for job_id in job_ids for row in house.backends.ledger.outbox(job_id)]
                assert [row.finished_at for row in rows] == [house.clock.now_ms] * len(job_ids)

        run(test())

    def test_a_lost_message_comes_again_later_and_later(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path, faults=Faults(lose=1.0)) as house:
                house.submit()
                await house.relay.publish_batch()
                pause = AFTER_SECONDS
                for _ in range(4):
                    house.clock.advance(pause - 0.001)
                    assert await house.relay.republish_unconsumed() == 0
                    house.clock.advance(0.001)
                    assert await house.relay.republish_unconsumed() == 1
                    pause *= 2
                assert pause <= AFTER_SECONDS * 2**DOUBLINGS_MAX

        run(test())

    def test_what_is_consumed_does_not(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path) as house:
                job_id = house.submit()
                await house.settle()
                house.clock.advance(AFTER_SECONDS)
                assert await house.relay.republish_unconsumed() == 0
                (row,) = house.backends.ledger.outbox(job_id)
                assert row.finished_at == house.clock.now_ms

        run(test())

    def test_every_queue_must_have_consumed_it(self, tmp_path: Path) -> None:
        heard: list[str] = []

        def hear(_event: object, context: Any) -> None:
            heard.append(context.job.job_id)

        async def test() -> None:
            service = plain_service(start)
            service.on(Submitted, queue="q.other")(hear)
            async with open_house(tmp_path, service, in_memory=True) as house:
                house.submit()
                await house.settle(PLANS)
                (lost,) = await house.take("q.other")
                await lost.ack()
                house.clock.advance(AFTER_SECONDS)
                assert await house.relay.republish_unconsumed() == 1
                await house.settle()
                assert len(heard) == 1

        run(test())

    def test_a_lost_replay_comes_again_and_the_original_does_not(self, tmp_path: Path) -> None:
        failures = [PermanentError("torn")]

        def work(_event: object, _context: object) -> None:
            if failures:
                raise failures.pop()

        async def test() -> None:
            async with open_house(tmp_path, stage_service(work), in_memory=True) as house:
                job_id = house.start()
                house.announce(job_id, 1)
                house.send(job_id, "a")
                await house.settle()
                house.clock.advance(1)
                house.replay(job_id)
                (lost,) = await house.take(ITEMS)
                await lost.ack()
                house.clock.advance(AFTER_SECONDS)
                assert await house.relay.republish_unconsumed() == 1
                await house.settle()
                assert house.states(job_id) == {"a": AssetState.DONE}
                assert len(house.letters()) == 1
                house.clock.advance(2 * AFTER_SECONDS)
                assert await house.relay.republish_unconsumed() == 0

        run(test())

    def test_a_copy_of_the_original_does_not_stand_for_its_lost_replay(self, tmp_path: Path) -> None:
        failures = [PermanentError("torn")]

        def work(_event: object, _context: object) -> None:
            if failures:
                raise failures.pop()

        async def test() -> None:
            async with open_house(tmp_path, stage_service(work), in_memory=True) as house:
                job_id = house.start()
                house.announce(job_id, 1)
                house.send(job_id, "a")
                original = await house.take_one(ITEMS)
                await house.handle(original)
                house.clock.advance(1)
                house.replay(job_id)
                await (await house.take_one(ITEMS)).ack()
                house.clock.advance(1)
                await house.broker.publish([original.message])
                await house.settle()
                assert house.states(job_id) == {"a": AssetState.FAILED}
                house.clock.advance(AFTER_SECONDS)
                assert await house.relay.republish_unconsumed() == 1
                await house.settle()
                assert house.states(job_id) == {"a": AssetState.DONE}

        run(test())


@pytest.mark.parametrize("seed", range(12))
def test_any_faults_lose_and_double_nothing(tmp_path: Path, seed: int) -> None:
    """A whole job under a broker that loses, doubles, delays and reorders, with handlers that fail now and then."""
    names = [f"{number:02}" for number in range(12)]
    calls: dict[str, int] = {}

    def plan(_event: object, context: Any) -> None:
        from tests.house import ItemsBatch, ItemsReady

        job_id = context.job.job_id
        context.start_job()
        context.emit(ItemsBatch(job_id=job_id, event_id=context.new_id(), total=len(names)))
        for first in range(0, len(names), 3):
            context.emit(ItemsReady(job_id=job_id, event_id=context.new_id(), names=names[first : first + 3]))

    def work(event: Any, context: Any) -> dict[str, str]:
        name = context.asset.asset_id
        calls[name] = calls.get(name, 0) + 1
        context.emit(ItemDone(job_id=event.job_id, name=name))
        if (int(name) + seed) % 4 == 0 and calls[name] == 1:
            raise OSError("busy")
        return {"name": name}

    async def test() -> None:
        faults = Faults(lose=0.3, duplicate=0.4, reorder=0.5, delay=0.3, delay_seconds_max=400)
        services = (plain_service(plan), stage_service(work))
        phases = (Phase(name="items", stages=(STAGE,)),)
        async with open_house(tmp_path, *services, faults=faults, seed=seed, phases=phases) as house:
            job_id = house.submit()
            await until_over(house, job_id)
            topics = house.topics(job_id)
            assert house.job(job_id).status is JobStatus.COMPLETED
            assert topics.count("tiny.items.completed") == topics.count("job.completed") == 1
            assert topics.count("tiny.item.done") == len(names)
            stage = house.stage(job_id)
            assert (stage.done, stage.failed, stage.late) == (len(names), 0, 0)
            assert stage.completion is not None
            assert stage.completion.reason == "all"
            assert house.letters() == []
            await house.run_dry()
            assert house.topics(job_id) == topics
            assert not await house.broker.holds(job_id, [PLANS, ITEMS, f"{ITEMS}.batch"])

    run(test())


async def until_over(house: House, job_id: str) -> None:
    for _ in range(60):
        await house.settle()
        await house.sweeper().sweep()
        if house.job(job_id).status.is_terminal:
            return
        house.clock.advance(200)
    raise AssertionError(f"the job is {house.job(job_id)} still")
