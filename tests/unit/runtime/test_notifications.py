"""Where a bucket tells of an event, the relay leaves the first word to it, and speaks when the bucket was not heard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from reelwork.errors import ConfigurationError, PermanentError
from reelwork.events import Asset, AssetEvent
from reelwork.ledger import AssetState, CompletionPolicy, Work
from reelwork.message import Message
from reelwork.runtime import Service
from reelwork.runtime.context import Context
from tests.house import ITEMS, STAGE, House, ItemsBatch, ItemsCompleted, open_house, run

REPUBLISH_SECONDS = 300
DONE, FAILED = AssetState.DONE, AssetState.FAILED


class ItemStored(AssetEvent):
    topic = "tiny.item.stored"
    is_told_by_bucket = True

    name: str

    def assets(self) -> Sequence[Asset]:
        return [Asset(self.name)]


def service() -> Service:
    service = Service("items")

    @service.stage(STAGE, announced_by=ItemsBatch, completes_with=ItemsCompleted, policy=CompletionPolicy(100, None))
    @service.on(ItemStored, queue=ITEMS)
    def handle_item_stored(event: ItemStored, _context: Context) -> None:
        if event.name == "bad":
            raise PermanentError("no such thing")

    return service


def stored(house: House, job_id: str, name: str) -> ItemStored:
    """An object was put; we have written down that somebody must hear of it."""
    event = ItemStored(job_id=job_id, event_id=uuid4(), name=name)
    house.commit(Work(events=[event]))
    return event


async def bucket_tells(house: House, job_id: str, name: str) -> None:
    """With an id of its own."""
    event = ItemStored(job_id=job_id, event_id=uuid4(), name=name)
    await house.broker.publish([Message(str(event.event_id), job_id, event.topic, event.body())])


async def sweep_later(house: House, times: int = 1) -> None:
    house.clock.advance(times * REPUBLISH_SECONDS)
    await house.sweeper().sweep()


def test_what_the_bucket_has_told_is_not_sent(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_house(tmp_path, service(), in_memory=True, **NOTIFIED) as house:
            job_id = house.start()
            house.announce(job_id, 3)
            for name in ("a", "b", "bad"):
                await bucket_tells(house, job_id, name)
            await house.settle()
            for name in ("a", "b", "bad"):  # whoever put them wrote it down only after they were worked on
                stored(house, job_id, name)
            assert not await house.step()
            await sweep_later(house)
            await sweep_later(house, 2)
            assert not await house.step(), "nothing was sent"
            assert house.states(job_id) == {"a": DONE, "b": DONE, "bad": FAILED}
            assert not house.backends.ledger.unfinished(published_before_ms=2**62), (
                "and nothing is looked after any more"
            )

    run(test())


def test_what_it_has_not_told_is_sent_when_the_time_is_over_and_not_before(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_house(tmp_path, service(), in_memory=True, **NOTIFIED) as house:
            job_id = house.start()
            house.announce(job_id, 2)
            await house.settle()
            await bucket_tells(house, job_id, "a")
            for name in "ab":
                stored(house, job_id, name)
            await house.settle()
            house.clock.advance(REPUBLISH_SECONDS - 1)
            await house.sweeper().sweep()
            assert not await house.step()
            house.clock.advance(1)
            await house.sweeper().sweep()
            assert await house.step(ITEMS) == 1, "the other one alone"
            assert house.states(job_id) == {"a": DONE, "b": DONE}
            assert house.topics(job_id).count("tiny.items.completed") == 1
            await bucket_tells(house, job_id, "b")  # after all
            await house.settle()
            assert (house.stage(job_id).done, house.stage(job_id).late, house.letters()) == (2, 0, [])

    run(test())


def test_a_replay_is_sent_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_house(tmp_path, service(), in_memory=True, **NOTIFIED) as house:
            job_id = house.start()
            house.announce(job_id, 2)
            await bucket_tells(house, job_id, "bad")
            await house.settle()
            house.replay(job_id)
            assert await house.step(ITEMS) == 1

    run(test())


def test_without_notifications_everything_is_sent(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_house(tmp_path, service(), in_memory=True) as house:
            job_id = house.start()
            stored(house, job_id, "a")
            assert await house.step(ITEMS) == 1

    run(test())


def test_a_broker_that_no_bucket_can_notify_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(
            ConfigurationError, match="REELWORK_S3_NOTIFICATIONS is on, and buckets notify queues of SQS"
        ):
            async with open_house(tmp_path, service(), REELWORK_S3_NOTIFICATIONS=True):
                pass

    run(test())


NOTIFIED = {"REELWORK_S3_NOTIFICATIONS": True}
