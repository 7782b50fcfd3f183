"""A worker takes no more than it works on, gives back what it has not begun, and is never kept by a handler."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from reelwork.broker import Delivery
from reelwork.ledger import JobStatus, Work
from reelwork.runtime import Context, consumer, stage_group
from reelwork.runtime.worker import Worker
from tests.house import ITEMS, PLANS, House, ItemsReady, open_house, plain_service, run, stage_service


class Doors:
    """Handlers that say when they begin, and go on when they are let."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.open = threading.Event()
        self._loop = asyncio.get_running_loop()
        if is_open:
            self.open.set()

    def plan(self, _event: object, context: Context) -> None:
        self._pass("plan")
        context.start_job()

    def work(self, _event: ItemsReady, context: Context) -> None:
        assert context.asset is not None
        self._pass(context.asset.asset_id)

    def _pass(self, name: str) -> None:
        self._loop.call_soon_threadsafe(self.begun.put_nowait, name)
        assert self.open.wait(10)


def worker_of(house: House, *, drain_seconds: float = 10) -> Worker:
    return Worker(
        house.backends.catalogue.subscriptions,
        broker=house.broker,
        handling=house.handling,
        world=house.backends.world,
        drain_seconds=drain_seconds,
    )


@contextlib.asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        worker.stop()
        await task


class TestStopping:
    @pytest.mark.parametrize("in_memory", [True, False])
    def test_finishes_what_it_has_begun_and_leaves_the_rest(self, tmp_path: Path, in_memory: bool) -> None:
        async def test() -> None:
            doors = Doors()
            async with open_house(tmp_path, plain_service(doors.plan), in_memory=in_memory) as house:
                first, second = house.submit(), house.submit()
                await house.relay.publish_batch()
                worker = worker_of(house)
                async with running(worker) as task:
                    assert await doors.begun.get() == "plan"
                    worker.stop()
                    doors.open.set()
                    await task
                assert house.job(first).status is JobStatus.RUNNING
                assert house.job(second).status is JobStatus.PENDING
                assert (await house.take_one(PLANS)).deliveries == 1
                assert not worker.must_be_replaced

        run(test())

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_gives_back_what_comes_too_late(
        self, tmp_path: Path, in_memory: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def test() -> None:
            doors = Doors()
            async with open_house(tmp_path, plain_service(doors.plan), in_memory=in_memory) as house:
                worker, receive = worker_of(house), house.broker.receive

                async def receive_and_stop(queue: str, *, limit: int, wait_seconds: float) -> list[Delivery]:
                    deliveries = await receive(queue, limit=limit, wait_seconds=wait_seconds)
                    worker.stop()
                    return deliveries

                monkeypatch.setattr(house.broker, "receive", receive_and_stop)
                house.submit()
                await house.relay.publish_batch()
                await worker.run()
                monkeypatch.undo()
                assert doors.begun.empty()
                delivery = await house.take_one(PLANS)
                assert (delivery.deliveries, delivery.is_suspect) == (1, False)

        run(test())

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_a_handler_that_takes_too_long_is_left_behind(self, tmp_path: Path, in_memory: bool) -> None:
        async def test() -> None:
            doors = Doors()
            async with open_house(tmp_path, plain_service(doors.plan), in_memory=in_memory) as house:
                job_id = house.submit()
                await house.relay.publish_batch()
                worker = worker_of(house, drain_seconds=0.02)
                async with running(worker):
                    await doors.begun.get()
                assert worker.must_be_replaced
                delivery = await house.take_one(PLANS)
                assert not delivery.is_suspect, "a restart is not the fault of the message"
                doors.open.set()
                await house.handle(delivery)
                assert house.job(job_id).status is JobStatus.RUNNING

        run(test())

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_does_not_wait_for_messages_any_longer(
        self, tmp_path: Path, in_memory: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consumer, "RECEIVE_WAIT_SECONDS", 600)

        async def test() -> None:
            service = plain_service(Doors().plan)
            async with open_house(tmp_path, service, in_memory=in_memory) as house, running(worker_of(house)):
                for _ in range(10):
                    await asyncio.sleep(0)

        run(test())


class TestGroups:
    @pytest.mark.parametrize("in_memory", [True, False])
    def test_a_slow_asset_does_not_keep_what_was_taken_with_it(
        self, tmp_path: Path, in_memory: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Cheap assets have taught the worker to take many at a time; then comes one that takes a while."""
        monkeypatch.setattr(stage_group, "HOLD_SECONDS_MAX", 0.01)

        async def test() -> None:
            doors = Doors(is_open=True)
            async with open_house(tmp_path, stage_service(doors.work), in_memory=in_memory) as house:
                job_id = house.start()
                async with running(worker_of(house)):
                    for number in range(40):
                        house.send(job_id, f"cheap {number}")
                    await house.relay.publish_batch()
                    for _ in range(40):
                        await doors.begun.get()
                    doors.open.clear()
                    names = ["slow", "b", "c", "d"]
                    events = [ItemsReady(job_id=job_id, event_id=uuid4(), names=[name]) for name in names]
                    house.commit(Work(events=events))
                    await house.relay.publish_batch()
                    assert await doors.begun.get() == "slow"
                    free: list[str] = []
                    while len(free) < 3:
                        for delivery in await house.broker.receive(ITEMS, limit=3, wait_seconds=1):
                            assert delivery.deliveries == 1
                            free += [name for name in names if f'"{name}"' in delivery.message.body]
                    assert sorted(free) == ["b", "c", "d"]
                    doors.open.set()

        run(test())

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_a_worker_that_is_to_stop_gives_back_what_it_has_not_begun(self, tmp_path: Path, in_memory: bool) -> None:
        async def test() -> None:
            doors = Doors(is_open=True)
            async with open_house(tmp_path, stage_service(doors.work), in_memory=in_memory) as house:
                job_id = house.start()
                names = [f"{number:03}" for number in range(100)]
                for name in names:
                    house.send(job_id, name)
                await house.relay.publish_batch()
                worker = worker_of(house)
                async with running(worker):
                    await doors.begun.get()
                    worker.stop()
                done = house.states(job_id)
                left = await house.take(ITEMS, limit=100)
                assert [delivery.deliveries for delivery in left] == [1] * len(left)
                assert len(done) + len(left) == len(names)

        run(test())


class TestHangingHandlers:
    def test_the_worker_asks_to_be_replaced_and_ends(self, tmp_path: Path) -> None:
        async def test() -> None:
            doors = Doors()
            services = (plain_service(doors.plan, timeout_seconds=0.05), stage_service(doors.work))
            async with open_house(tmp_path, *services) as house:
                house.submit()
                running_job = house.start()
                house.send(running_job, "a")
                worker = worker_of(house, drain_seconds=0.1)
                await worker.run()
                assert worker.must_be_replaced
                assert sorted([doors.begun.get_nowait(), doors.begun.get_nowait()]) == ["a", "plan"]
                house.clock.advance(60)
                (plan,) = await house.take(PLANS)
                (item,) = await house.take(ITEMS)
                assert (plan.attempts, plan.is_suspect) == (1, False)
                assert (item.attempts, item.is_suspect) == (0, False)
                doors.open.set()

        run(test())


class TestSuspects:
    """A message whose last worker died is worked on alone, so that the next death is nobody else's."""

    def test_have_the_process_to_themselves(self, tmp_path: Path) -> None:
        async def test() -> None:
            doors = Doors()
            services = (plain_service(doors.plan, prefetch=4), stage_service(doors.work, prefetch=4))
            async with open_house(tmp_path, *services) as house:
                job_id = house.start()
                house.send(job_id, "suspect")
                await house.crash(await house.take_one(ITEMS))
                house.send(job_id, "fresh")
                house.submit()
                async with running(worker_of(house)):
                    begun = await self.begun_together(doors)
                    assert begun == ["suspect"] or sorted(begun) in (["fresh"], ["plan"], ["fresh", "plan"])
                    doors.open.set()
                    while len(begun) < 3:
                        begun.append(await doors.begun.get())

        run(test())

    async def begun_together(self, doors: Doors) -> list[str]:
        begun = [await doors.begun.get()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                while True:
                    begun.append(await doors.begun.get())
        return begun

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_do_not_wait_for_those_who_wait_for_messages(
        self, tmp_path: Path, in_memory: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consumer, "RECEIVE_WAIT_SECONDS", 600)

        async def test() -> None:
            doors = Doors(is_open=True)
            services = (plain_service(doors.plan, prefetch=4), stage_service(doors.work, prefetch=4))
            async with open_house(tmp_path, *services, in_memory=in_memory) as house:
                house.send(house.start(), "suspect")
                await house.crash(await house.take_one(ITEMS))
                async with running(worker_of(house)):
                    assert await doors.begun.get() == "suspect"

        run(test())

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_are_worked_on_one_at_a_time(self, tmp_path: Path, in_memory: bool) -> None:
        at_once, most, worked = 0, 0, 0
        names = [str(number) for number in range(6)]
        all_worked = asyncio.Event()

        async def work(_event: ItemsReady, _context: Context) -> None:
            nonlocal at_once, most, worked
            at_once += 1
            most = max(most, at_once)
            for _ in range(20):
                await asyncio.sleep(0)
            at_once -= 1
            worked += 1
            if worked == len(names):
                all_worked.set()

        async def test() -> None:
            async with open_house(tmp_path, stage_service(work, prefetch=6), in_memory=in_memory) as house:
                job_id = house.start()
                house.announce(job_id, len(names))
                for name in names:
                    house.send(job_id, name)
                for delivery in await house.take(ITEMS, limit=6):
                    await house.crash(delivery)
                async with running(worker_of(house)):
                    await all_worked.wait()
                assert most == 1
                assert house.stage(job_id).done == len(names)

        run(test())

    def test_do_not_keep_a_worker_that_is_to_stop(self, tmp_path: Path) -> None:
        async def test() -> None:
            doors = Doors()
            async with open_house(tmp_path, plain_service(doors.plan), stage_service(doors.work)) as house:
                job_id = house.start()
                house.send(job_id, "suspect")
                await house.crash(await house.take_one(ITEMS))
                worker = worker_of(house, drain_seconds=0.02)
                async with running(worker):
                    assert await doors.begun.get() == "suspect"
                assert worker.must_be_replaced
                doors.open.set()
                await house.settle()

        run(test())
