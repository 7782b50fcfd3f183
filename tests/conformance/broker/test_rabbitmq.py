"""What only the RabbitMQ broker has: channels instead of leases, pauses in queues of their own, what the server itself
gives up on, and servers that die, stall, are full, or refuse.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest
from aiormq.channel import Channel
from aiormq.exceptions import ChannelNotFoundEntity

from reelwork.broker import DELIVERIES_MAX, Delivery, Depth, Message, Topology
from reelwork.broker.rabbitmq import RabbitBroker, publisher
from reelwork.broker.rabbitmq.address import RabbitAddress
from reelwork.broker.rabbitmq.line import Line
from reelwork.broker.rabbitmq.names import Names
from reelwork.errors import ConfigurationError, StoreUnavailable
from tests.clock import ManualClock
from tests.conformance.broker.conftest import event_ids
from tests.processes import ready_children
from tests.proxy import Proxy, proxy
from tests.rabbitmq import PASSWORD, fresh_url, shared_server
from tests.tls import self_signed, tls_before

pytestmark = pytest.mark.anyio
QUEUE, OTHER = "q.frames", "q.other"
TOPOLOGY = Topology.of([("frames", QUEUE), ("frames", OTHER)])
WAIT_SECONDS, TRIES_MAX = 20.0, 400
SHORT_SECONDS = 0.3
WRITTEN_DOWN_SECONDS = 1.5
"""RabbitMQ 3.10 notes some time after it has made a queue that there is one; killed before, it loses the queue."""
T = TypeVar("T")


def message(event_id: str, *, job_id: str = "job", queue: str | None = QUEUE) -> Message:
    return Message(event_id=event_id, job_id=job_id, topic="frames", body='{"ä": 1}', queue=queue)


def messages(*event_ids: str) -> list[Message]:
    return [message(event_id) for event_id in event_ids]


def numbers(count: int) -> list[str]:
    return [f"{number:05}" for number in range(count)]


@contextlib.asynccontextmanager
async def broker_at(
    url: str, *, topology: Topology = TOPOLOGY, clock: ManualClock | None = None
) -> AsyncIterator[RabbitBroker]:
    broker = RabbitBroker(url, clock=clock) if clock else RabbitBroker(url)
    try:
        await broker.declare(topology)
        yield broker
    finally:
        await broker.close()


@pytest.fixture
def url() -> str:
    return fresh_url()


@pytest.fixture
async def broker(url: str) -> AsyncIterator[RabbitBroker]:
    async with broker_at(url) as broker:
        yield broker


@pytest.fixture
async def channel(url: str) -> AsyncIterator[Channel]:
    """Past the broker, to the server itself."""
    line = Line(RabbitAddress.of(url), "test")
    yield await line.channel()
    await line.close()


@pytest.fixture
def names(url: str) -> Names:
    return Names(RabbitAddress.of(url).prefix)


@pytest.fixture(scope="module")
def links() -> Iterator[Proxy]:
    with proxy() as links:
        yield links


async def take(
    broker: RabbitBroker, limit: int = 1_000, *, queue: str = QUEUE, wait_seconds: float = 0
) -> list[Delivery]:
    return await broker.receive(queue, limit=limit, wait_seconds=wait_seconds)


async def take_all(broker: RabbitBroker, count: int) -> list[Delivery]:
    """Waits until so many have come."""
    taken: list[Delivery] = []
    while len(taken) < count:
        deliveries = await take(broker, count - len(taken), wait_seconds=WAIT_SECONDS)
        assert deliveries
        taken += deliveries
    return taken


async def persistently(call: Callable[[], Awaitable[T]]) -> T:
    """As those do who use a broker: again, when it was not available."""
    for _ in range(TRIES_MAX):
        with contextlib.suppress(StoreUnavailable):
            return await call()
        await asyncio.sleep(0.05)
    return await call()


async def forever(call: Callable[[], Awaitable[object]]) -> None:
    while True:
        await call()


def timeouts(*, delivery_ms: int, look_ms: int) -> str:
    """For `rabbitmqctl eval`: how long a delivery may be in hand, and how often that is looked at."""
    settings = {"consumer_timeout": delivery_ms, "channel_tick_interval": look_ms}
    return ", ".join(f"application:set_env(rabbit, {name}, {value})" for name, value in settings.items()) + "."


class TestPauses:
    async def test_a_retry_comes_after_its_pause_to_its_own_queue_only(self, broker: RabbitBroker) -> None:
        await broker.publish([message("a", queue=None)])
        (first,) = await take(broker)
        (other,) = await take(broker, queue=OTHER)
        await other.ack()
        loop = asyncio.get_running_loop()
        failed_at = loop.time()
        await first.retry(0.5)
        (again,) = await take(broker, wait_seconds=WAIT_SECONDS)
        assert loop.time() - failed_at >= 0.5
        assert (again.attempts, again.deliveries, again.is_suspect) == (1, 2, False)
        assert again.message == first.message
        assert await take(broker, queue=OTHER) == []


class TestDeath:
    async def test_what_a_killed_process_held_comes_back_at_once(self, broker: RabbitBroker, url: str) -> None:
        with ready_children("tests.conformance.broker.rabbit_holder", [[url, QUEUE, 3]]) as (holder,):
            await broker.publish(messages("a", "b", "c", "d"))
            assert json.loads(await asyncio.to_thread(holder.line)) == ["a", "b", "c"]
            assert event_ids(await take(broker)) == ["d"]
            holder.kill()
            again = await take_all(broker, 3)
        assert [(each.message.event_id, each.deliveries, each.is_suspect) for each in again] == [
            ("a", 2, True),
            ("b", 2, True),
            ("c", 2, True),
        ]

    async def test_what_nobody_has_taken_from_a_process_goes_to_another_and_is_no_suspect(
        self, broker: RabbitBroker, url: str
    ) -> None:
        """It was asked for, and then whoever had asked went to do something else."""
        assert await take(broker, 5, wait_seconds=0.01) == []
        await broker.publish(messages("a", "b", "c"))
        async with broker_at(url) as another:
            taken = await take_all(another, 3)
            assert [(each.message.event_id, each.deliveries) for each in taken] == [("a", 1), ("b", 1), ("c", 1)]
            await another.ack(taken)
        assert await take(broker) == []

    async def test_whoever_closes_hands_on_what_was_not_begun(self, broker: RabbitBroker, url: str) -> None:
        await broker.publish(messages("a", "b", "c"))
        async with broker_at(url) as leaving:
            first, *rest = await take(leaving)
            await first.retry(0)
            (again,) = await take(leaving)
            await leaving.release([again, *rest])
        taken = await take_all(broker, 3)
        told = sorted((each.message.event_id, each.deliveries, each.attempts) for each in taken)
        assert told == [("a", 2, 1), ("b", 1, 0), ("c", 1, 0)]
        assert not any(each.is_suspect for each in taken)


class TestTaking:
    async def test_each_goes_to_one_of_many_takers(self, url: str) -> None:
        count = 2_000
        async with contextlib.AsyncExitStack() as opened:
            brokers = [await opened.enter_async_context(broker_at(url)) for _ in range(3)]
            told: list[str] = []

            async def consume(broker: RabbitBroker, random: Random) -> None:
                while len(told) < count:
                    deliveries = await take(broker, random.randint(1, 200), wait_seconds=0.2)
                    told.extend(event_ids(deliveries))
                    await asyncio.gather(broker.extend(deliveries), broker.extend(deliveries[::2]))
                    shuffled = random.sample(deliveries, len(deliveries))
                    await asyncio.gather(broker.ack(shuffled[::2]), broker.ack(shuffled[1::2]))

            taking = [asyncio.create_task(consume(broker, Random(seed))) for seed, broker in enumerate(brokers)]
            await brokers[0].publish(messages(*numbers(count)))
            await asyncio.wait_for(asyncio.gather(*taking), 60)
            assert sorted(told) == numbers(count)
            assert (await brokers[0].depths())[QUEUE].waiting == 0

    async def test_whoever_stops_waiting_for_an_answer_mixes_up_nobody_elses(
        self, url: str, clock: ManualClock
    ) -> None:
        async with broker_at(url, clock=clock) as broker:
            await broker.publish(messages(*numbers(10)))
            for turns in range(0, 60, 2):
                asking = asyncio.create_task(take(broker, 3, wait_seconds=turns % 4))
                for _ in range(turns):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                assert (await broker.depths())[OTHER].waiting == 0
            clock.advance(31)
            taken = await take_all(broker, 10)
            assert sorted(event_ids(taken)) == numbers(10)
            await broker.ack(taken)
            assert await take(broker) == []


class TestServer:
    async def test_whoever_only_looks_makes_nothing(self, url: str, channel: Channel, names: Names) -> None:
        onlooker = RabbitBroker(url)
        onlooker.topology = TOPOLOGY
        await onlooker.ping()
        assert await onlooker.depths() == {QUEUE: Depth(0, None, None), OTHER: Depth(0, None, None)}
        await onlooker.close()
        with pytest.raises(ChannelNotFoundEntity):
            await channel.queue_declare(names.queue(QUEUE), passive=True)

    async def test_it_can_be_seen_there_what_a_message_is(
        self, broker: RabbitBroker, channel: Channel, names: Names
    ) -> None:
        await broker.publish([message("a", queue=None)])
        found = await channel.basic_get(names.queue(QUEUE))
        told = found.header.properties
        names_it = (told.message_id, told.correlation_id, told.message_type)
        assert names_it == ("a", "job", "frames")
        assert (told.content_type, told.app_id, told.delivery_mode) == (
            "application/json",
            "reelwork",
            2,
        )
        assert told.timestamp is not None
        assert told.headers == {"x-delivery-count": 0}
        assert json.loads(found.body) == {"ä": 1}

    async def test_an_id_that_no_property_can_hold_is_carried_whole(
        self, broker: RabbitBroker, channel: Channel, names: Names
    ) -> None:
        long = "ä" * 200
        await broker.publish([message(long, queue=None)])
        found = await channel.basic_get(names.queue(QUEUE), no_ack=False)
        assert found.header.properties.message_id == "ä" * 127
        await channel.basic_nack(found.delivery_tag, requeue=True)
        (delivery,) = await take(broker)
        assert delivery.message.event_id == long

    async def test_the_trace_of_its_job_goes_with_a_message_also_when_it_is_tried_again(
        self, broker: RabbitBroker, channel: Channel, names: Names
    ) -> None:
        broker.trace_context = lambda message: f"of {message.event_id}"
        await broker.publish([message("a", queue=None)])
        (delivery,) = await take(broker)
        await delivery.retry(0)
        found = await channel.basic_get(names.queue(QUEUE))
        while found.delivery.name == "Basic.GetEmpty":
            found = await channel.basic_get(names.queue(QUEUE))
        assert found.header.properties.headers["traceparent"] == "of a"
        assert found.header.properties.headers["attempts"] == 1

    async def test_what_somebody_else_has_put_there_is_handed_out_beside_the_others(
        self, broker: RabbitBroker, channel: Channel, names: Names
    ) -> None:
        await channel.basic_publish(b"\xff", routing_key=names.queue(QUEUE))
        await broker.publish(messages("a"))
        taken = await take(broker)
        assert [(each.message.job_id, each.message.topic) for each in taken] == [("", ""), ("job", "frames")]
        await broker.ack(taken)
        assert (await broker.depths())[QUEUE].waiting == 0

    async def test_queues_that_were_deleted_are_there_again_when_something_is_published(
        self, broker: RabbitBroker, channel: Channel, names: Names
    ) -> None:
        for queue in (QUEUE, OTHER):
            await channel.queue_delete(names.queue(queue))
        await broker.publish([message("a", queue=None)])
        assert event_ids(await take(broker)) == event_ids(await take(broker, queue=OTHER)) == ["a"]

    async def test_a_queue_that_was_deleted_is_there_again_when_somebody_waits_for_it(
        self, broker: RabbitBroker, channel: Channel, names: Names
    ) -> None:
        assert await take(broker, wait_seconds=0.01) == []
        await channel.queue_delete(names.queue(QUEUE))
        waiting = asyncio.create_task(persistently(lambda: take(broker, wait_seconds=WAIT_SECONDS)))
        await asyncio.sleep(0)
        await persistently(lambda: broker.publish(messages("a")))
        assert event_ids(await waiting) == ["a"]

    async def test_one_that_is_killed_costs_an_error_until_it_is_back_and_loses_nothing(
        self, broker: RabbitBroker
    ) -> None:
        server = shared_server()
        await broker.publish(messages("a", "b"))
        (held,) = await take(broker, 1)
        await asyncio.sleep(WRITTEN_DOWN_SECONDS)
        waiting = asyncio.create_task(persistently(lambda: take(broker, queue=OTHER, wait_seconds=WAIT_SECONDS)))
        server.kill()
        try:
            for call in (broker.publish(messages("c")), take(broker), broker.depths(), broker.ping()):
                with pytest.raises(StoreUnavailable, match=r"amqp://tester:\*\*\*@127\.0\.0\.1") as caught:
                    await call
                assert PASSWORD not in str(caught.value)
            assert await held.extend() is False
            await held.ack()
            await held.retry(0)
        finally:
            await asyncio.to_thread(server.restart)
        await persistently(lambda: broker.publish([message("d", queue=OTHER)]))
        assert event_ids(await waiting) == ["d"]
        again, fresh = await persistently(lambda: take_all(broker, 2))
        assert (again.message.event_id, again.deliveries, again.is_suspect) == ("a", 2, True)
        assert (fresh.message.event_id, fresh.deliveries) == ("b", 1)
        await broker.ack([again, fresh])
        assert await take(broker) == []

    async def test_a_connection_that_breaks_while_confirmations_are_out_loses_nothing(self, links: Proxy) -> None:
        server = shared_server()
        link = links.link(server.port)
        prefix, count = server.new_prefix(), 1_500
        through_link = server.url(prefix=prefix, port=link.port)
        async with broker_at(server.url(prefix=prefix)) as broker, broker_at(through_link) as sender:
            link.delay(0.05)
            sending = asyncio.create_task(sender.publish(messages(*numbers(count))))
            while not (await broker.depths())[QUEUE].waiting:
                await asyncio.sleep(0)
            link.cut()
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await sending
            link.resume()
            await persistently(lambda: sender.publish(messages(*numbers(count))))
            told = set[str]()
            while deliveries := await take(broker, 1_000, wait_seconds=0.5):
                told.update(event_ids(deliveries))
                await broker.ack(deliveries)
            assert sorted(told) == numbers(count)

    async def test_one_that_stalls_costs_an_error_and_is_gone_on_with(
        self, links: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publisher, "CONFIRM_SECONDS_MAX", SHORT_SECONDS)
        server = shared_server()
        link = links.link(server.port)
        async with broker_at(server.url(prefix=server.new_prefix(), port=link.port)) as broker:
            await broker.publish(messages("a"))
            link.stall()
            with pytest.raises(StoreUnavailable, match="has not confirmed within"):
                await broker.publish(messages("b"))
            link.cut()
            link.resume()
            await persistently(lambda: broker.publish(messages("c")))
            taken = await take_all(broker, 2)
            assert {"a", "c"} <= set(event_ids(taken)) <= {"a", "b", "c"}

    async def test_one_that_is_full_takes_nothing_in_and_everything_out(
        self, broker: RabbitBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publisher, "CONFIRM_SECONDS_MAX", SHORT_SECONDS)
        await broker.publish(messages("a", "b", "c"))
        (first,) = await take(broker, 1)
        server = shared_server()
        await asyncio.to_thread(server.control, "set_vm_memory_high_watermark", "absolute", "1")
        try:
            with pytest.raises(StoreUnavailable, match="has not confirmed within"):
                await forever(lambda: broker.publish([message("too much", queue=OTHER)]))  # until it is aware of it
            await first.ack()
            taken = await take(broker)
            assert event_ids(taken) == ["b", "c"]
            await broker.ack(taken[:1])
            await broker.release(taken[1:])
            assert event_ids(await take(broker)) == ["c"]
        finally:
            await asyncio.to_thread(server.control, "set_vm_memory_high_watermark", "0.4")
        await persistently(lambda: broker.publish(messages("d")))

    async def test_one_that_takes_back_what_was_long_in_hand_says_what_to_do(self, url: str) -> None:
        server = shared_server()
        await asyncio.to_thread(server.control, "eval", timeouts(delivery_ms=200, look_ms=200))
        try:
            async with broker_at(url) as broker:
                await broker.publish(messages("a"))
                (held,) = await take(broker, 1, wait_seconds=WAIT_SECONDS)
                with pytest.raises(StoreUnavailable, match=r"200 ms.*REELWORK_HANDLER_TIMEOUT_SECONDS lower"):
                    await forever(lambda: take(broker, wait_seconds=0.1))
                assert await held.extend() is False
                (again,) = await take(broker, wait_seconds=WAIT_SECONDS)
                assert (again.deliveries, again.is_suspect) == (2, True)
        finally:
            await asyncio.to_thread(server.control, "eval", timeouts(delivery_ms=1_800_000, look_ms=60_000))


class TestEncrypted:
    async def test_messages_go_through_tls_to_a_server_that_proves_who_it_is(self, tmp_path: Path) -> None:
        certificate, context = await asyncio.to_thread(self_signed, tmp_path)
        server = shared_server()
        async with tls_before(server.port, context) as port:
            plain = server.url(prefix=server.new_prefix())
            encrypted = plain.replace("amqp://", "amqps://").replace(f"127.0.0.1:{server.port}", f"localhost:{port}")
            async with broker_at(f"{encrypted}&cafile={certificate}") as broker:
                await broker.publish(messages("a"))
                assert event_ids(await take(broker, wait_seconds=WAIT_SECONDS)) == ["a"]
            with pytest.raises(StoreUnavailable, match=r"(?i)certificate.verify.failed"):
                async with broker_at(encrypted):
                    pass


class TestRefused:
    async def test_a_wrong_password(self) -> None:
        await self.refused("does not let this user in: ACCESS_REFUSED", password="guessed")

    async def test_a_virtual_host_that_is_not_there(self) -> None:
        await self.refused(r"does not let 'tester' into the virtual host 'nowhere': make it", vhost="nowhere")

    async def test_a_queue_that_was_made_in_another_way(self, url: str, channel: Channel, names: Names) -> None:
        await channel.queue_declare(names.queue(OTHER), durable=True)
        with pytest.raises(ConfigurationError, match=rf"'{names.queue(OTHER)}'.*Delete it there once it is empty"):
            async with broker_at(url):
                pass

    async def test_a_user_without_rights(self) -> None:
        server = shared_server()
        for command in ("add_user guest2 guessed", "set_permissions guest2 ^guest2 ^guest2 ^guest2"):
            await asyncio.to_thread(server.control, *command.split())
        await self.refused("refuses what is needed of it: ACCESS_REFUSED", user="guest2", password="guessed")

    async def refused(self, why: str, **options: str) -> None:
        with pytest.raises(ConfigurationError, match=why) as caught:
            async with broker_at(shared_server().url(**options)):
                pass
        assert PASSWORD not in str(caught.value)
        assert "guessed" not in str(caught.value)


async def test_what_the_server_gave_up_on_is_told_of_once(broker: RabbitBroker, channel: Channel, names: Names) -> None:
    await broker.publish(messages("a"))
    for _ in range(DELIVERIES_MAX + 1):
        found = await channel.basic_get(names.queue(QUEUE))
        assert found.delivery.delivery_tag is not None
        await channel.basic_reject(found.delivery.delivery_tag, requeue=True)
    assert await take(broker) == []
    while not (given_up := await broker.given_up(limit=10)):
        await asyncio.sleep(0.01)
    assert [(each.queue, each.message) for each in given_up] == [(QUEUE, message("a")._replace(queue=None))]
    await broker.ack(given_up)
    assert await broker.given_up(limit=10) == []
