"""A broker in memory, deterministic: for tests, simulation, and whoever wants to see how little the ledger trusts a
broker.

With faults it loses, doubles, delays and reorders what is published, by the dice of one seeded random. It must never
depend on anything else than that seed, its clock and the order of the calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from reelwork.broker.base import DEFAULT_LEASE_SECONDS, Broker, Delivery, Depth
from reelwork.message import Message

PAUSE_SECONDS_MIN: Final = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Probabilities in 0..1, per message and queue. `delay_seconds_max`: how long a delayed message is held back."""

    lose: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    delay_seconds_max: float = 60.0


@dataclass(slots=True, eq=False)
class _Entry:
    order: float
    message: Message
    published_at: float
    visible_at: float
    deliveries: int = 0
    attempts: int = 0
    lease: int = 0


class MemoryBroker(Broker):
    """faults: may be changed at any time; they concern what is published from then on."""

    name = "memory:"

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        faults: Faults | None = None,
        seed: int = 0,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
    ) -> None:
        self._clock = clock
        self.faults = faults or Faults()
        self._random = Random(seed)
        self._lease_seconds = lease_seconds
        self._queues: dict[str, list[_Entry]] = {}
        self._orders = itertools.count()
        self._leases = itertools.count(1)
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._interruptions = 0

    async def publish(self, messages: Sequence[Message]) -> None:
        for message in messages:
            queues = [message.queue] if message.queue is not None else sorted(self.topology.queues(message.topic))
            for queue in queues:
                self._enqueue(queue, message)
                self._announce(queue)

    def _enqueue(self, queue: str, message: Message) -> None:
        faults, dice = self.faults, self._random
        copies = 0 if dice.random() < faults.lose else 1 + (dice.random() < faults.duplicate)
        for _ in range(copies):
            order = float(next(self._orders))
            if dice.random() < faults.reorder:
                order = dice.uniform(0, order)
            visible_at = published_at = self._clock()
            if dice.random() < faults.delay:
                visible_at += dice.uniform(0, faults.delay_seconds_max)
            self._queues.setdefault(queue, []).append(_Entry(order, message, published_at, visible_at))

    async def receive(self, queue: str, *, limit: int, wait_seconds: float) -> list[Delivery]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        interruptions = self._interruptions
        while not (deliveries := self._claim(queue, limit)):
            remaining = deadline - loop.time()
            if remaining <= 0:
                return []
            visible_in = [entry.visible_at - self._clock() for entry in self._queues.get(queue, ())]
            await self._news(queue, max(min([remaining, *visible_in]), PAUSE_SECONDS_MIN))
            if self._interruptions != interruptions:
                return []
        return deliveries

    def interrupt(self) -> None:
        self._interruptions += 1
        for queue in [*self._waiting]:
            self._announce(queue)

    async def _news(self, queue: str, seconds: float) -> None:
        """Returns when something has come into the queue, or after `seconds`."""
        loop = asyncio.get_running_loop()
        news: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _resolve, news)
        self._waiting.setdefault(queue, []).append(news)
        try:
            await news
        finally:
            timer.cancel()
            with contextlib.suppress(KeyError, ValueError):  # whoever told the news has taken it out
                self._waiting[queue].remove(news)

    def _claim(self, queue: str, limit: int) -> list[Delivery]:
        now = self._clock()
        entries = sorted((e for e in self._queues.get(queue, ()) if e.visible_at <= now), key=lambda e: e.order)
        return [self._hand_out(queue, entry, now) for entry in entries[:limit]]

    def _hand_out(self, queue: str, entry: _Entry, now: float) -> Delivery:
        entry.lease = next(self._leases)
        entry.deliveries += 1
        entry.visible_at = now + self._lease_seconds
        return MemoryDelivery(
            queue=queue,
            message=entry.message,
            deliveries=entry.deliveries,
            attempts=entry.attempts,
            lease_seconds=self._lease_seconds,
            broker=self,
            entry=entry,
            lease=entry.lease,
        )

    def end(self, queue: str, entry: _Entry) -> None:
        self._queues[queue].remove(entry)

    def put_back(self, queue: str, entry: _Entry, after_seconds: float) -> None:
        entry.lease = 0
        entry.visible_at = self._clock() + after_seconds
        self._announce(queue)

    def renew(self, entry: _Entry) -> None:
        entry.visible_at = self._clock() + self._lease_seconds

    async def holds(self, job_id: str, queues: Iterable[str]) -> bool:
        return any(entry.message.job_id == job_id for queue in queues for entry in self._queues.get(queue, ()))

    async def depths(self) -> Mapping[str, Depth]:
        return {queue: self._depth(self._queues.get(queue, ())) for queue in self.topology.all_queues()}

    def _depth(self, entries: Sequence[_Entry]) -> Depth:
        now = self._clock()
        waiting = [entry.published_at for entry in entries if not entry.lease or entry.visible_at <= now]
        return Depth(len(waiting), len(entries) - len(waiting), max(now - min(waiting, default=now), 0.0))

    def lose(self, count: int) -> list[Message]:
        """Forgets so many of its messages, waiting or in somebody's hands, as an engine does that was not durable."""
        held = [(queue, entry) for queue in sorted(self._queues) for entry in self._queues[queue]]
        lost = self._random.sample(held, min(count, len(held)))
        for queue, entry in lost:
            self.end(queue, entry)
            entry.lease = 0
        return [entry.message for _, entry in lost]

    def held(self) -> list[tuple[str, Message]]:
        """Every message with its queue, waiting or in somebody's hands."""
        return [(queue, entry.message) for queue in sorted(self._queues) for entry in self._queues[queue]]

    def _announce(self, queue: str) -> None:
        for news in self._waiting.pop(queue, ()):
            _resolve(news)

    async def close(self) -> None:
        self._queues.clear()


def _resolve(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)


@dataclass(slots=True, kw_only=True)
class MemoryDelivery(Delivery):
    broker: MemoryBroker
    entry: _Entry
    lease: int

    @property
    def _is_mine(self) -> bool:
        return self.entry.lease == self.lease

    async def ack(self) -> None:
        if self._is_mine:
            self.broker.end(self.queue, self.entry)
            self.entry.lease = 0

    async def retry(self, after_seconds: float) -> None:
        if self._is_mine:
            self.entry.attempts += 1
            self.entry.deliveries = self.entry.attempts
            self.broker.put_back(self.queue, self.entry, after_seconds)

    async def release(self) -> None:
        if self._is_mine:
            self.entry.deliveries -= 1
            self.broker.put_back(self.queue, self.entry, 0)

    async def extend(self) -> bool:
        if self._is_mine:
            self.broker.renew(self.entry)
        return self._is_mine
