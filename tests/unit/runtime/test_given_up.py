"""What a broker gives up on by itself ends as a dead letter, whatever it was: here in a real RabbitMQ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from reelwork.broker import DELIVERIES_MAX
from reelwork.broker.rabbitmq.address import RabbitAddress
from reelwork.broker.rabbitmq.line import Line
from reelwork.broker.rabbitmq.names import Names
from reelwork.ledger import AssetState, JobStatus
from tests.house import ITEMS, PLANS, House, open_house, plain_service, run, stage_service
from tests.rabbitmq import fresh_url

GIVEN_UP = f"the broker gave it up after {DELIVERIES_MAX} deliveries without an outcome"


@pytest.fixture
def url() -> str:
    return fresh_url()


def nothing(_event: object, _context: object) -> None: ...


async def move_to_dead(url: str, queue: str, change: Callable[[DeliveredMessage], bytes] | None = None) -> None:
    """Whatever waits in the queue, as the server itself does; as somebody else's with what `change` makes of it."""
    address = RabbitAddress.of(url)
    names, line = Names(address.prefix), Line(address, "test")
    channel = await line.channel()
    while isinstance((found := await channel.basic_get(names.queue(queue))).delivery, Basic.GetOk):
        assert found.delivery.delivery_tag is not None
        if change is None:
            await channel.basic_reject(found.delivery.delivery_tag, requeue=False)
        else:
            await channel.basic_publish(change(found), routing_key=names.dead(queue))
            await channel.basic_ack(found.delivery.delivery_tag)
    while not (await channel.queue_declare(names.dead(queue), passive=True)).message_count:
        pass
    await line.close()


async def sweep(house: House) -> None:
    await house.sweeper().sweep()


def test_its_assets_fail_and_a_replay_mends_them(tmp_path: Path, url: str) -> None:
    async def test() -> None:
        async with open_house(tmp_path, stage_service(nothing), REELWORK_BROKER_URL=url) as house:
            job_id = house.start()
            house.announce(job_id, 2)
            house.send(job_id, "a", "b")
            await house.relay.publish_batch()
            await move_to_dead(url, ITEMS)
            await sweep(house)
            assert house.states(job_id) == {"a": AssetState.FAILED, "b": AssetState.FAILED}
            (letter,) = house.letters(job_id)
            assert (letter.queue, letter.error) == (ITEMS, GIVEN_UP)
            await sweep(house)
            assert len(house.letters(job_id)) == 1
            house.replay(job_id)
            await house.settle()
            assert house.states(job_id) == {"a": AssetState.DONE, "b": AssetState.DONE}

    run(test())


def test_a_job_whose_event_it_was_fails(tmp_path: Path, url: str) -> None:
    async def test() -> None:
        async with open_house(tmp_path, plain_service(nothing), REELWORK_BROKER_URL=url) as house:
            job_id = house.submit()
            await house.relay.publish_batch()
            await move_to_dead(url, PLANS)
            await sweep(house)
            assert house.job(job_id).status is JobStatus.FAILED
            assert [letter.error for letter in house.letters(job_id)] == [GIVEN_UP]

    run(test())


def test_what_is_nobodys_is_kept_too_and_holds_nothing_up(tmp_path: Path, url: str) -> None:
    async def test() -> None:
        async with open_house(tmp_path, plain_service(nothing), REELWORK_BROKER_URL=url) as house:
            house.submit()
            await house.relay.publish_batch()
            await move_to_dead(url, PLANS, lambda _: b"\xff not an event")
            await sweep(house)
            assert [(letter.job_id, letter.error) for letter in house.letters()] == [("", GIVEN_UP)]
            assert await house.broker.given_up(limit=10) == []

    run(test())
