"""Queues in RabbitMQ: quorum queues behind a topic exchange, confirmed publications, pauses in queues of their own.

A delivery belongs to its channel until it is acknowledged: when a process dies, the server hands out again at once what
it had. What was not begun is published anew rather than returned, because every return counts as a death, and a few of
those are taken for the message's fault (docs/decisions/0011).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiormq.channel import Channel
from aiormq.exceptions import ChannelNotFoundEntity

from reelwork.broker.base import DEFAULT_LEASE_SECONDS, Broker, Delivery, Depth, Topology
from reelwork.broker.rabbitmq.address import RabbitAddress
from reelwork.broker.rabbitmq.envelope import properties_of
from reelwork.broker.rabbitmq.intake import Held, Intake
from reelwork.broker.rabbitmq.line import CLOSE_SECONDS_MAX, Line, Refused
from reelwork.broker.rabbitmq.names import PAUSES_SECONDS, Names, pause_of
from reelwork.broker.rabbitmq.publisher import Parcel, Publisher
from reelwork.broker.rings import Rings
from reelwork.database import EVERYBODY
from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.message import Message

IDLE_SECONDS_MAX: Final = 0.5
"""So long may a message lie in this process before another gets it: longer than a group of cheap ones takes."""
TEND_SECONDS: Final = 0.1


class RabbitBroker(Broker):
    """url: `amqp://` or `amqps://`. lease_owner: names this process in the server's lists. clock: seconds, of leases,
    for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
        lease_owner: str | None = None,
    ) -> None:
        self._address = RabbitAddress.of(url)
        self.name = self._address.shown
        self.lease_seconds = lease_seconds
        self._names = Names(self._address.prefix)
        self._clock = clock
        owner = f"reelwork {lease_owner}" if lease_owner else "reelwork"
        self._sending = Line(self._address, f"{owner} publishing", self._declare_all)
        self._taking = Line(self._address, f"{owner} consuming", self._declare_all)
        self._publisher = Publisher(self._sending, self._redeclare)
        self._asking: Channel | None = None
        self._is_declared = False
        self._intakes: dict[str, Intake] = {}
        self._opening = asyncio.Lock()
        self._bell = Rings()
        self._wanted: Counter[str] = Counter()
        self._interruptions = 0
        self._tending: asyncio.Task[None] | None = None

    async def declare(self, topology: Topology) -> None:
        """Raises ConfigurationError for a server that cannot carry queues, StoreUnavailable where there is none."""
        await super().declare(topology)
        self._is_declared = True
        try:
            await self._redeclare()
        except Refused as error:
            raise ConfigurationError(str(error)) from error

    def check_handling(self, seconds: float) -> None:
        """By what the URL says of the server: AMQP has no way to ask for its consumer_timeout."""
        limit = self._address.consumer_timeout_seconds
        if seconds >= limit:
            raise ConfigurationError(
                f"a handler may take {seconds:g} s, and the broker {self.name} takes back what it was given after "
                f"{limit:g} s: set REELWORK_HANDLER_TIMEOUT_SECONDS lower, or raise consumer_timeout in the server's "
                f"rabbitmq.conf and then tell of it in the URL with ?consumer_timeout={round(seconds * 1.2):d}"
            )

    async def _redeclare(self) -> None:
        channel = await self._sending.channel()
        await self._declare_all(channel)
        await self._sending.ask(channel.close())

    async def _declare_all(self, channel: Channel) -> None:
        if not self._is_declared or not self.topology.bindings:
            return
        names, ask = self._names, self._sending.ask
        await ask(channel.exchange_declare(names.events, exchange_type="topic", durable=True))
        await ask(channel.exchange_declare(names.dead_letters, exchange_type="direct", durable=True))
        for seconds in PAUSES_SECONDS:
            pause = names.pause(seconds)
            await ask(channel.exchange_declare(pause, exchange_type="fanout", durable=True))
            await ask(channel.queue_declare(pause, durable=True, arguments=names.pause_arguments(seconds)))
            await ask(channel.queue_bind(pause, pause))
        for queue in self.topology.all_queues():
            await self._declare(channel, queue)

    async def _declare(self, channel: Channel, queue: str) -> None:
        names, ask = self._names, self._sending.ask
        name, dead = names.queue(queue), names.dead(queue)
        await ask(channel.queue_declare(dead, durable=True, arguments=names.dead_arguments()))
        await ask(channel.queue_bind(dead, names.dead_letters, name))
        await ask(channel.queue_declare(name, durable=True, arguments=names.queue_arguments(queue)))
        for topic, queues in self.topology.bindings.items():
            if queue in queues:
                await ask(channel.queue_bind(name, names.events, topic))

    async def publish(self, messages: Sequence[Message]) -> None:
        await self._publisher.publish([self._parcel(message) for message in messages])

    def _parcel(self, message: Message) -> Parcel:
        properties = properties_of(message, traceparent=self.traceparent(message))
        body = message.body.encode()
        if message.queue is not None:
            return Parcel("", self._names.queue(message.queue), *properties, body)
        is_awaited = bool(self.topology.queues(message.topic))
        return Parcel(self._names.events, message.topic, *properties, body, is_awaited)

    async def receive(self, queue: str, *, limit: int, wait_seconds: float) -> list[Delivery]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        interruptions = self._interruptions
        while True:
            rings = self._bell.rings(queue)
            intake = await self._intake(queue)
            await intake.end_leases()
            if taken := intake.take(limit) if wait_seconds > 0 else await intake.fetch(limit):
                return [self._delivery(queue, intake, held) for held in taken]
            remaining = deadline - loop.time()
            if remaining <= 0 or self._interruptions != interruptions:
                return []
            self._wanted[queue] += limit
            try:
                await intake.listen(self._wanted[queue])
                if self._interruptions == interruptions:
                    await self._bell.wait(queue, rings, remaining)
            finally:
                self._wanted[queue] -= limit

    def interrupt(self) -> None:
        self._interruptions += 1
        self._bell.ring([EVERYBODY])

    async def _intake(self, queue: str, name: str | None = None) -> Intake:
        """What takes from the queue; another one when its channel has ended. Raises StoreUnavailable."""
        name = name or self._names.queue(queue)
        intake = self._intakes.get(name)
        if intake is not None and intake.is_open:
            return intake
        async with self._opening:
            intake = self._intakes.get(name)
            if intake is not None and intake.is_open:
                return intake
            if intake is not None:
                intake.close()
                del self._intakes[name]
                if self._taking.is_open and intake.reason is not None:
                    self._taking.fail(intake.reason)  # told once; whoever asks again gets another channel
            channel = await self._taking.channel()
            if self._is_declared and queue in self.topology.all_queues():
                await self._declare(channel, queue)  # somebody may have deleted it, and that is why we are here
            if self._tending is None or self._tending.done():
                self._tending = asyncio.create_task(self._tend())
            self._intakes[name] = Intake(
                name,
                self._taking,
                channel,
                clock=self._clock,
                lease_seconds=self.lease_seconds,
                consume_arguments={"x-consumer-timeout": round(self._address.consumer_timeout_seconds * 1000)},
                on_news=lambda: self._bell.ring([queue]),
            )
            return self._intakes[name]

    def _delivery(self, queue: str, intake: Intake, held: Held) -> Delivery:
        return RabbitDelivery(
            queue=queue,
            message=held.message,
            deliveries=held.deliveries,
            attempts=held.attempts,
            lease_seconds=self.lease_seconds,
            broker=self,
            intake=intake,
            held=held,
            lease=held.lease,
        )

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        for intake, helds in _by_intake(deliveries):
            await intake.ack(helds)

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        for intake, helds in _by_intake(deliveries):
            for held in helds:
                intake.extend(held)

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        for intake, helds in _by_intake(deliveries):
            intake.put_back(helds)

    async def retry(self, delivery: RabbitDelivery, after_seconds: float) -> None:
        """As `Delivery.retry`: published again, and when that is confirmed, acknowledged."""
        held, attempts = delivery.held, delivery.attempts + 1
        pause = pause_of(after_seconds)
        exchange = "" if pause is None else self._names.pause(pause)
        held.lease = 0
        try:
            await self._publisher.publish(
                [self._again(delivery.intake, held, exchange, attempts=attempts, earlier=attempts)]
            )
        except BaseException:
            held.lease = delivery.lease
            raise
        await delivery.intake.ack([held])

    async def _tend(self) -> None:
        """Gives back what nobody here takes, and what nobody extends any more."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            for intake in [*self._intakes.values()]:
                with contextlib.suppress(StoreUnavailable):  # then the channel is at its end, and gives it back itself
                    await intake.end_leases()
                    await self._give_back(intake, intake.take_idle(IDLE_SECONDS_MAX))

    async def _give_back(self, intake: Intake, helds: Sequence[Held]) -> None:
        """Puts what was not begun at the end of its queue: the server would count a return as a death."""
        if not helds or not intake.is_open:
            return
        await intake.rest()
        parcels = [self._again(intake, held, "", attempts=held.attempts, earlier=held.deliveries - 1) for held in helds]
        try:
            await self._publisher.publish(parcels)
        except StoreUnavailable:
            await intake.reject(helds)
            raise
        await intake.ack(helds)

    async def _leave(self, intake: Intake) -> None:
        with contextlib.suppress(StoreUnavailable):
            await intake.rest()  # what is pushed now would come back as if its process had died of it
            await self._give_back(intake, intake.take_idle(0))
        intake.close()

    def _again(self, intake: Intake, held: Held, exchange: str, *, attempts: int, earlier: int) -> Parcel:
        """A message for its own queue once more, with what is known of it by now."""
        traceparent = self.traceparent(held.message)
        properties = properties_of(held.message, attempts=attempts, earlier=earlier, traceparent=traceparent)
        return Parcel(exchange, intake.name, *properties, held.message.body.encode())

    async def holds(self, job_id: str, queues: Iterable[str]) -> bool:  # noqa: ARG002
        """Never: a queue of RabbitMQ cannot be looked into. The outbox of the ledger knows what was not consumed."""
        return False

    async def given_up(self, *, limit: int) -> list[Delivery]:
        found: list[Delivery] = []
        for queue in self.topology.all_queues():
            dead = self._names.dead(queue)
            if len(found) < limit and await self._count(dead):
                intake = await self._intake(queue, dead)
                helds = await intake.fetch(limit - len(found))
                found += [self._delivery(queue, intake, held) for held in helds]
        return found

    async def depths(self) -> Mapping[str, Depth]:
        return {queue: await self._depth(queue) for queue in self.topology.all_queues()}

    async def _depth(self, queue: str) -> Depth:
        name = self._names.queue(queue)
        intake = self._intakes.get(name)
        here = intake.waiting if intake is not None and intake.is_open else 0
        return Depth(await self._count(name) + here, None, None)

    async def _count(self, name: str) -> int:
        """How many messages of a queue are in nobody's hands; none of one that is not there yet."""
        if self._asking is None or self._asking.is_closed or not self._sending.is_open:
            self._asking = await self._sending.channel()
        try:
            known = await self._sending.ask(self._asking.queue_declare(name, passive=True))
        except BaseException as error:
            self._sending.abandon(self._asking)
            self._asking = None
            if isinstance(error.__cause__, ChannelNotFoundEntity):
                return 0
            raise
        return known.message_count or 0

    async def ping(self) -> None:
        channel = await self._sending.channel()
        await self._sending.ask(channel.close())

    async def close(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
        leaving = [asyncio.create_task(self._leave(intake)) for intake in self._intakes.values()]
        if leaving:
            await asyncio.wait(leaving, timeout=CLOSE_SECONDS_MAX)
            for task in leaving:
                task.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)
        await self._taking.close()
        await self._sending.close()


def _by_intake(deliveries: Sequence[Delivery]) -> Iterable[tuple[Intake, list[Held]]]:
    """What still is in these hands, by the channel that it came through."""
    helds: dict[Intake, list[Held]] = {}
    for delivery in deliveries:
        if isinstance(delivery, RabbitDelivery) and delivery.is_mine:
            helds.setdefault(delivery.intake, []).append(delivery.held)
    return helds.items()


@dataclass(slots=True, kw_only=True)
class RabbitDelivery(Delivery):
    """lease: of these hands; a message that was handed out again has another."""

    broker: RabbitBroker
    intake: Intake
    held: Held
    lease: int

    @property
    def is_mine(self) -> bool:
        return self.held.lease == self.lease and self.intake.is_open

    async def ack(self) -> None:
        await self.broker.ack([self])

    async def retry(self, after_seconds: float) -> None:
        if self.is_mine:
            await self.broker.retry(self, after_seconds)

    async def release(self) -> None:
        await self.broker.release([self])

    async def extend(self) -> bool:
        if self.is_mine:
            self.intake.extend(self.held)
        return self.is_mine
