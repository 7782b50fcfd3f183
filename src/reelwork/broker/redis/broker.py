"""Queues in Redis Streams: one stream and one group a queue, one script for every change, leases with tokens.

What was handed out before lies in a sorted set by the time from which it may be handed out again, so a look at a queue
costs the same however much of it is in hand, and tells when to look again. Time is the server's. Redis may lose its
last messages, depending on how it persists: the ledger's outbox sends them again (docs/brokers.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import uuid4

from redis.exceptions import NoPermissionError

from reelwork.broker.base import DEFAULT_LEASE_SECONDS, Broker, Delivery, Depth, Topology
from reelwork.broker.redis.address import RedisAddress
from reelwork.broker.redis.bell import SEPARATOR, RedisBell
from reelwork.broker.redis.server import RedisServer
from reelwork.database import EVERYBODY
from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.message import Message

IDLE_POLL_SECONDS: Final = 1.0
HIDDEN_SECONDS_MAX: Final = 3_600.0  # no lease and no retry is longer; further ahead it was a clock set back since
TAKE_MAX: Final = 1_000
SETTLE_MAX: Final = 1_000
PUBLISH_MAX: Final = 1_000
LOOKED_AT_MAX: Final = 1_000
"""Entries in one run of a script: some milliseconds, in which the server does nothing else."""
T = TypeVar("T")


class RedisBroker(Broker):
    """url: `redis://` or `rediss://`. lease_owner: names this process, so that its supervisor can hand back what it
    held. clock: epoch seconds, for tests; the server's time without one.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] | None = None,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
        lease_owner: str | None = None,
    ) -> None:
        self._address = RedisAddress.of(url)
        self.name = self._address.shown
        self._server = RedisServer(self._address)
        self._channel = f"{self._address.prefix}:bell:{self._address.database}"  # channels know no databases
        self._bell = RedisBell(self._server, self._channel)
        self._clock = clock
        self._owner = lease_owner or uuid4().hex
        self._lease_ms = round(lease_seconds * 1000)
        self._hidden_ms_max = max(round(HIDDEN_SECONDS_MAX * 1000), 2 * self._lease_ms)
        self._interruptions = 0

    @property
    def lease_seconds(self) -> float:
        return self._lease_ms / 1000

    async def declare(self, topology: Topology) -> None:
        """Raises ConfigurationError for a server that cannot carry queues, StoreUnavailable where there is none."""
        await super().declare(topology)
        await self._server.check()
        try:
            for queue in self._queues():
                await self._server.run("declare", self._keys(queue), [self._now(), self._lease_ms])
        except StoreUnavailable as error:
            if isinstance(error.__cause__, NoPermissionError):
                raise ConfigurationError(str(error)) from error
            raise

    async def publish(self, messages: Sequence[Message]) -> None:
        for batch in _batches(messages, PUBLISH_MAX):
            await self._publish(batch)

    async def _publish(self, messages: Sequence[Message]) -> None:
        numbers: dict[str, int] = {}
        entries: list[object] = []
        for message in messages:
            queues = [message.queue] if message.queue is not None else sorted(self.topology.queues(message.topic))
            traceparent = self.traceparent(message) or ""
            for queue in queues:
                number = numbers.setdefault(queue, len(numbers))
                entries += number, message.event_id, message.job_id, message.topic, message.body
                entries += int(message.is_replay), traceparent
        if entries:
            keys = [key for queue in numbers for key in (self._stream(queue), self._jobs(queue))]
            arguments = [self._channel, SEPARATOR.join(numbers), *entries]
            await self._server.run("publish", keys, arguments, may_run_twice=False)

    async def receive(self, queue: str, *, limit: int, wait_seconds: float) -> list[Delivery]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        interruptions = self._interruptions
        while True:
            if wait_seconds > 0:
                await self._bell.listen()
            rings = self._bell.rings(queue)
            deliveries, seconds_to_next = await self._take(queue, limit)
            if deliveries:
                return deliveries
            remaining = deadline - loop.time()
            if remaining <= 0:
                return []
            if self._interruptions == interruptions:
                await self._bell.wait(queue, rings, min(remaining, IDLE_POLL_SECONDS, seconds_to_next))
            if self._interruptions != interruptions:
                return []

    def interrupt(self) -> None:
        self._interruptions += 1
        self._bell.ring([EVERYBODY])

    async def _take(self, queue: str, limit: int) -> tuple[list[Delivery], float]:
        """What can be had at once; and otherwise in how many seconds to look again at the latest."""
        token = f"{self._owner}:{uuid4().hex}"
        arguments = [self._now(), token, min(limit, TAKE_MAX), self._lease_ms, self._hidden_ms_max]
        wait_ms, taken = await self._server.run("take", self._keys(queue), arguments, may_run_twice=False)
        seconds_to_next = wait_ms / 1000 if wait_ms >= 0 else IDLE_POLL_SECONDS
        return [self._delivery(queue, token, *entry) for entry in taken], seconds_to_next

    def _delivery(
        self, queue: str, token: str, entry_id: str, deliveries: int, attempts: int, flat: Sequence[str]
    ) -> Delivery:
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        message = Message(
            event_id=fields.get("event_id", ""),  # what somebody else has put there fails by itself, and alone
            job_id=fields.get("job_id", ""),
            topic=fields.get("topic", ""),
            body=fields.get("body", ""),
            is_replay=fields.get("is_replay") == "1",
        )
        return RedisDelivery(
            queue=queue,
            message=message,
            deliveries=deliveries,
            attempts=attempts,
            lease_seconds=self.lease_seconds,
            broker=self,
            entry_id=entry_id,
            token=token,
        )

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        for queue, own in _by_queue(deliveries):
            receipts = [each for one in own for each in (one.entry_id, one.token, one.message.job_id)]
            await self._server.run("acknowledge", self._keys(queue), receipts)

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        await self.renew(deliveries)

    async def renew(self, deliveries: Sequence[Delivery]) -> int:
        """How many leases still stood."""
        extended = 0
        for queue, own in _by_queue(deliveries):
            arguments = [self._now(), self._lease_ms, *_receipts(own)]
            extended += await self._server.run("extend", self._keys(queue), arguments)
        return extended

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        for queue, own in _by_queue(deliveries):
            await self._server.run("release", self._keys(queue), [self._channel, queue, *_receipts(own)])

    async def retry(self, delivery: RedisDelivery, after_seconds: float) -> None:
        """As `Delivery.retry`."""
        arguments = [self._now(), round(after_seconds * 1000), self._channel, delivery.queue, *_receipts([delivery])]
        await self._server.run("retry", self._keys(delivery.queue), arguments)

    async def holds(self, job_id: str, queues: Iterable[str]) -> bool:
        async def ask() -> list[Any]:
            async with self._server.redis.pipeline(transaction=False) as pipeline:
                for queue in queues:
                    pipeline.hexists(self._jobs(queue), job_id)
                return await pipeline.execute()

        queues = list(queues)
        return any(await self._server.call(ask))

    async def depths(self) -> Mapping[str, Depth]:
        return {queue: await self._depth(queue) for queue in self._queues()}

    async def _depth(self, queue: str) -> Depth:
        count, in_hand, oldest_ms = await self._server.run("depth", self._keys(queue), [self._now(), LOOKED_AT_MAX])
        return Depth(count - in_hand, in_hand, oldest_ms / 1000)

    async def release_leases(self, owner: str) -> int:
        handed_on = 0
        for queue in self._queues():
            handed_on += await self._server.run("hand_on", self._keys(queue), [self._channel, queue, f"{owner}:"])
        return handed_on

    async def ping(self) -> None:
        await self._server.call(self._server.redis.ping, may_run_twice=False)

    async def close(self) -> None:
        await self._bell.close()
        await self._server.close()

    def _now(self) -> int | str:
        """Epoch ms; empty for the server's own."""
        return "" if self._clock is None else round(self._clock() * 1000)

    def _queues(self) -> list[str]:
        return self.topology.all_queues()

    def _stream(self, queue: str) -> str:
        return f"{self._address.prefix}:{queue}"

    def _jobs(self, queue: str) -> str:
        return f"{self._stream(queue)}:jobs"

    def _keys(self, queue: str) -> list[str]:
        stream = self._stream(queue)
        return [stream, f"{stream}:visible", f"{stream}:leases", f"{stream}:attempts", self._jobs(queue)]


@dataclass(slots=True, kw_only=True)
class RedisDelivery(Delivery):
    """token: of its lease; an entry that was handed out again has another."""

    broker: RedisBroker
    entry_id: str
    token: str

    async def ack(self) -> None:
        await self.broker.ack([self])

    async def retry(self, after_seconds: float) -> None:
        await self.broker.retry(self, after_seconds)

    async def release(self) -> None:
        await self.broker.release([self])

    async def extend(self) -> bool:
        return await self.broker.renew([self]) == 1


def _by_queue(deliveries: Sequence[Delivery]) -> Iterator[tuple[str, Sequence[RedisDelivery]]]:
    """The deliveries of each queue, so many at a time as one script may settle."""
    of_queue: dict[str, list[RedisDelivery]] = {}
    for delivery in deliveries:
        if isinstance(delivery, RedisDelivery):
            of_queue.setdefault(delivery.queue, []).append(delivery)
    for queue, own in of_queue.items():
        for batch in _batches(own, SETTLE_MAX):
            yield queue, batch


def _receipts(deliveries: Iterable[RedisDelivery]) -> Iterator[str]:
    for delivery in deliveries:
        yield delivery.entry_id
        yield delivery.token


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
