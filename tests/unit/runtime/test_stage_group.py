"""Deliveries that are handled together: each has the outcome that it would have had alone."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelwork.broker import Delivery
from reelwork.broker.base import DELIVERIES_MAX
from reelwork.errors import PermanentError
from reelwork.ledger import AssetState
from reelwork.message import Message
from reelwork.runtime import Context, stage_group
from reelwork.runtime.consumer import SUSPECTS_MAX
from reelwork.runtime.outcome import HandlerTimeout
from reelwork.runtime.stage_group import StageGroup
from reelwork.runtime.stage_run import CRASHES_MAX
from tests.house import ITEMS, House, ItemDone, ItemsReady, open_house, run, stage_service

DONE, FAILED, STARTED = AssetState.DONE, AssetState.FAILED, AssetState.STARTED
Handler = Callable[[ItemsReady, Context], Any]


class Bench:
    """Fails for assets by their names, and counts its calls."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __call__(self, event: ItemsReady, context: Context) -> None:
        assert context.asset is not None
        name = context.asset.asset_id
        self.calls[name] += 1
        context.emit(BodilessItem(job_id=event.job_id, name=name) if "mute" in name else item_of(event, name))
        if "broken" in name:
            raise PermanentError("broken")
        if "busy" in name and self.calls[name] == 1:
            raise OSError("busy")

    async def inline(self, event: ItemsReady, context: Context) -> None:
        self(event, context)

    async def waiting(self, event: ItemsReady, context: Context) -> None:
        await asyncio.sleep(0)
        self(event, context)


class BodilessItem(ItemDone):
    def body(self) -> str:
        raise RuntimeError("no body")


def item_of(event: ItemsReady, name: str) -> ItemDone:
    return ItemDone(job_id=event.job_id, name=name)


def group_of(house: House, deliveries: list[Delivery]) -> StageGroup:
    return StageGroup(house.handling, house.subscription(ITEMS), deliveries)


async def handle_together(house: House) -> None:
    await group_of(house, await house.take(ITEMS, limit=100)).run()


@pytest.mark.parametrize("kind", ["inline", "waiting", "__call__"])
@pytest.mark.parametrize("in_memory", [False, True])
class TestOutcomes:
    def test_nobody_pays_for_a_neighbour(self, tmp_path: Path, kind: str, in_memory: bool) -> None:
        async def test() -> None:
            bench = Bench()
            async with open_house(tmp_path, stage_service(getattr(bench, kind)), in_memory=in_memory) as house:
                job_id, other_id = house.start(), house.start()
                for name in ("a", "broken", "b", "busy", "mute", "c"):
                    house.send(job_id, name)
                house.send(other_id, "a", "b")
                house.send("nobody", "a")
                await house.relay.publish_batch()
                body = '{"surprise": 1}'
                await house.broker.publish([Message("other", job_id, "tiny.items.ready", body, ITEMS)])
                await handle_together(house)
                assert house.states(job_id) == {"a": DONE, "broken": FAILED, "b": DONE, "c": DONE}
                assert house.states(other_id) == {"a": DONE, "b": DONE}
                assert house.topics(job_id).count("tiny.item.done") == 3
                await house.run_dry()
                errors = sorted(letter.error for letter in house.letters())
                assert errors[0] == "RuntimeError: no body"
                assert errors[1:3] == ["broken: broken", "no job has the id nobody"]
                assert errors[3].startswith("tiny.items.ready: job_id: Field required")
                assert len(errors) == 4
                assert house.states(job_id)["busy"] is DONE
                assert house.states(job_id)["mute"] is FAILED
                assert bench.calls["busy"] == 2
                assert not await house.broker.holds(job_id, [ITEMS])

        run(test())

    def test_an_asset_that_two_of_them_carry_is_handled_once(self, tmp_path: Path, kind: str, in_memory: bool) -> None:
        async def test() -> None:
            bench = Bench()
            async with open_house(tmp_path, stage_service(getattr(bench, kind)), in_memory=in_memory) as house:
                job_id = house.start()
                house.send(job_id, "a", "a")
                house.send(job_id, "b", "a")
                house.send(job_id, "b")
                await handle_together(house)
                assert house.states(job_id) == {"a": DONE, "b": DONE}
                assert bench.calls == {"a": 1, "b": 1}
                assert not await house.broker.holds(job_id, [ITEMS])

        run(test())

    def test_those_of_a_cancelled_job_are_dropped(self, tmp_path: Path, kind: str, in_memory: bool) -> None:
        async def test() -> None:
            bench = Bench()
            async with open_house(tmp_path, stage_service(getattr(bench, kind)), in_memory=in_memory) as house:
                job_id, other_id = house.start(), house.start()
                for name in "abc":
                    house.send(job_id, name)
                    house.send(other_id, f"{name} of the other")
                deliveries = await house.take(ITEMS, limit=100)
                house.jobs.cancel(job_id)
                await group_of(house, deliveries).run()
                assert sorted(bench.calls) == [f"{name} of the other" for name in "abc"]
                assert not await house.broker.holds(job_id, [ITEMS])
                assert house.letters() == []

        run(test())


def test_copies_of_a_message_are_recognised(tmp_path: Path) -> None:
    """Where the broker is not the ledger's own, each message of a group has its inbox row."""

    async def test() -> None:
        bench = Bench()
        async with open_house(tmp_path, stage_service(bench.inline), in_memory=True) as house:
            job_id = house.start()
            events = [house.send(job_id, name) for name in "abc"]
            deliveries = await house.take(ITEMS, limit=100)
            await house.broker.publish([delivery.message for delivery in deliveries])
            await group_of(house, deliveries).run()
            consumers = house.backends.ledger.consumers([str(event.event_id) for event in events])
            assert [list(queues) for queues in consumers.values()] == [[ITEMS]] * 3
            await house.settle()
            assert bench.calls == {"a": 1, "b": 1, "c": 1}

    run(test())


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_worker_that_slept_does_not_give_up_what_another_has_done(tmp_path: Path, in_memory: bool) -> None:
    """It lost its lease; the other one has succeeded when it fails for good."""

    async def test() -> None:
        async def work(_event: ItemsReady, context: Context) -> None:
            assert context.asset is not None
            if not asleep.is_set():
                asleep.set()
                await may_wake.wait()
                raise PermanentError("I was asleep")

        asleep, may_wake = asyncio.Event(), asyncio.Event()
        async with open_house(tmp_path, stage_service(work), in_memory=in_memory) as house:
            job_id = house.start()
            house.send(job_id, "a")
            slow = asyncio.create_task(group_of(house, await house.take(ITEMS)).run())
            await asleep.wait()
            house.clock.advance(60)
            await group_of(house, await house.take(ITEMS)).run()
            may_wake.set()
            await slow
            assert house.letters() == []
            assert house.states(job_id) == {"a": DONE}
            assert not await house.broker.holds(job_id, [ITEMS])

    run(test())


class Door:
    """A handler that waits, at the asset called `slow`, until it is let go on."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.calls: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._open, self._open_inline = threading.Event(), asyncio.Event()

    def let_go(self) -> None:
        self._open.set()
        self._open_inline.set()

    def handle(self, _event: ItemsReady, context: Context) -> None:
        if self._begin(context):
            assert self._open.wait(10)

    async def inline(self, _event: ItemsReady, context: Context) -> None:
        if self._begin(context):
            await self._open_inline.wait()

    def _begin(self, context: Context) -> bool:
        assert context.asset is not None
        self.calls.append(context.asset.asset_id)
        if context.asset.asset_id != "slow":
            return False
        self._loop.call_soon_threadsafe(self.begun.set)
        return True


@pytest.mark.parametrize("kind", ["inline", "handle"])
@pytest.mark.parametrize("in_memory", [False, True])
class TestHandingBack:
    async def others(self, house: House) -> list[Delivery]:
        """What another worker can take."""
        while not (deliveries := await house.broker.receive(ITEMS, limit=100, wait_seconds=1)):
            pass
        return deliveries

    def test_what_was_not_begun_in_time_is_free_for_others(
        self, tmp_path: Path, kind: str, in_memory: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stage_group, "HOLD_SECONDS_MAX", 0.01)

        async def test() -> None:
            door = Door()
            async with open_house(tmp_path, stage_service(getattr(door, kind)), in_memory=in_memory) as house:
                job_id = house.start()
                for name in ("a", "slow", "c", "d"):
                    house.send(job_id, name)
                deliveries = await house.take(ITEMS, limit=100)
                working = asyncio.create_task(group_of(house, deliveries).run())
                await door.begun.wait()
                free = await self.others(house)
                assert [delivery.deliveries for delivery in free] == [1, 1], "they were never started"
                await group_of(house, free).run()
                assert door.calls == ["a", "slow", "c", "d"]
                door.let_go()
                await working
                assert house.states(job_id) == dict.fromkeys(("a", "slow", "c", "d"), DONE)
                assert not await house.broker.holds(job_id, [ITEMS])

        run(test())

    def test_what_a_cancelled_group_has_not_finished_is_free_for_others(
        self, tmp_path: Path, kind: str, in_memory: bool
    ) -> None:
        async def test() -> None:
            door = Door()
            async with open_house(tmp_path, stage_service(getattr(door, kind)), in_memory=in_memory) as house:
                job_id = house.start()
                for name in ("slow", "b"):
                    house.send(job_id, name)
                deliveries = await house.take(ITEMS, limit=100)
                working = asyncio.create_task(group_of(house, deliveries).run())
                await door.begun.wait()
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
                door.let_go()
                assert [delivery.deliveries for delivery in await self.others(house)] == [1, 1]

        run(test())


def test_a_thread_that_hangs_keeps_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        door = Door()
        async with open_house(tmp_path, stage_service(door.handle, timeout_seconds=0.05)) as house:
            job_id = house.start()
            for name in ("a", "slow", "c"):
                house.send(job_id, name)
            with pytest.raises(HandlerTimeout):
                await handle_together(house)
            door.let_go()
            assert house.states(job_id) == {"a": DONE, "slow": STARTED}
            (free,) = await house.take(ITEMS, limit=100)
            assert (free.deliveries, free.attempts) == (1, 0)

    run(test())


class TestCrashes:
    """A worker dies with a whole group in hand."""

    @pytest.mark.parametrize("killers", [["k"], ["k", "l", "m"], [f"k{number}" for number in range(SUSPECTS_MAX)]])
    def test_only_the_killers_use_up_their_attempts(self, tmp_path: Path, killers: list[str]) -> None:
        async def test() -> None:
            died, calls = asyncio.Event(), Counter[str]()

            async def handle(_event: ItemsReady, context: Context) -> None:
                assert context.asset is not None
                calls[context.asset.asset_id] += 1
                if context.asset.asset_id in killers:
                    died.set()
                    await asyncio.Event().wait()

            async with open_house(tmp_path, stage_service(handle)) as house:
                job_id = house.start()
                names = [f"a{number:02}" for number in range(20)]
                for name in [*names[:5], *killers, *names[5:]]:
                    house.send(job_id, name)
                deaths, bodies, limit = 0, [], 100
                while deliveries := await house.take(ITEMS, limit=limit):
                    assert all(delivery.deliveries <= DELIVERIES_MAX for delivery in deliveries)
                    died.clear()
                    working = asyncio.create_task(group_of(house, deliveries).run())
                    dying = asyncio.create_task(died.wait())
                    await asyncio.wait({working, dying}, return_when=asyncio.FIRST_COMPLETED)
                    dying.cancel()
                    if not working.done():
                        deaths, limit = deaths + 1, SUSPECTS_MAX
                        bodies.append(working)
                        await house.crash(deliveries[0])
                assert deaths == 1 + CRASHES_MAX * len(killers)
                assert house.states(job_id) == {**dict.fromkeys(names, DONE), **dict.fromkeys(killers, FAILED)}
                assert len(house.letters(job_id)) == len(killers)
                for body in bodies:
                    body.cancel()
                await asyncio.gather(*bodies, return_exceptions=True)

        run(test())
