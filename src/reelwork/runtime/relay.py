"""Carries events from the outbox to the broker, oldest first, and marks them only after the broker has confirmed
them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog

from reelwork.broker import Broker
from reelwork.broker.database_bell import DatabaseBell
from reelwork.database import EVERYBODY
from reelwork.errors import StoreUnavailable
from reelwork.ledger import Ledger
from reelwork.ledger.base import OUTBOX_RING
from reelwork.ledger.records import OutboxRow
from reelwork.message import Message
from reelwork.runtime.leadership import RENEW_SECONDS, Leadership
from reelwork.runtime.metrics.catalogue import COMPLETION_SECONDS, PUBLISHED, REPUBLISHED
from reelwork.runtime.notifications import Notifications
from reelwork.runtime.world import World

IDLE_SECONDS: Final = 1.0
"""Between looks at an outbox that nobody rings for, and between looks at the lease of another relay."""
FAILURE_PAUSE_SECONDS: Final = 2.0
BATCH_SIZE: Final = 500
REPUBLISH_BATCHES_MAX: Final = 100
DOUBLINGS_MAX: Final = 10
LEASE: Final = "relay"

T = TypeVar("T")
log = structlog.get_logger("reelwork.relay")


class Relay:
    """republish_after_seconds: when to look whether a published event was consumed; doubles with every publication.
    completion_topics: what it measures the delay of. notifications: where a bucket tells of some events by itself.

    Of all relays on one ledger one works at a time, so that what is published once is not published by each of them. A
    broker in the ledger's own database needs none: nothing is left for a relay but what another broker left behind.
    """

    def __init__(
        self,
        ledger: Ledger,
        broker: Broker,
        *,
        world: World,
        republish_after_seconds: float,
        bell: DatabaseBell | None = None,
        completion_topics: frozenset[str] = frozenset(),
        notifications: Notifications | None = None,
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._world = world
        self._completion_topics = completion_topics
        self._notifications = notifications
        self._republish_after_ms = round(republish_after_seconds * 1000)
        self._bell = bell
        self._leadership = None if broker.transactional else Leadership(ledger, LEASE, world=world)

    async def run(self, stop: asyncio.Event) -> None:
        hurrying = asyncio.create_task(self._hurry_at(stop))
        try:
            while not stop.is_set():
                await self._turn()
        finally:
            hurrying.cancel()
            await self._leave()

    async def _turn(self) -> None:
        try:
            if not await self._leads():
                await self._wait(self._hang_up())
                return
            rings = await self._listen()
            if not await self.publish_batch():
                await self._wait(rings)
            return
        except StoreUnavailable as error:
            log.warning("reelwork.relay.failed", error=str(error))
        except Exception as error:  # one thing it stumbles over must not stop the whole node
            log.exception("reelwork.relay.failed", error=str(error))
        await self._leave()  # another one may reach the broker
        await self._world.sleep(FAILURE_PAUSE_SECONDS)

    async def _leads(self) -> bool:
        return self._leadership is None or await self._leadership.holds()

    async def _listen(self) -> int:
        """How often it has rung; hears what rings from now on."""
        if self._bell is None:
            return 0
        if self._bell.is_deaf and not self._broker.transactional:
            listener = await self._call(self._ledger.listen)
            if listener is not None:
                self._bell.hear(listener)
        return self._bell.rings(OUTBOX_RING)

    def _hang_up(self) -> int:
        """How often it has rung; hears nothing more."""
        if self._bell is None:
            return 0
        self._bell.close()
        return self._bell.rings(OUTBOX_RING)

    async def _wait(self, rings: int) -> None:
        if self._bell is None:
            await self._world.sleep(IDLE_SECONDS)
        else:
            await self._bell.wait(OUTBOX_RING, rings, IDLE_SECONDS)

    async def _hurry_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        if self._bell is not None:
            self._bell.ring([EVERYBODY])

    async def _leave(self) -> None:
        """Lets another relay take over at once."""
        self._hang_up()
        if self._leadership is not None:
            with contextlib.suppress(StoreUnavailable):
                await self._leadership.resign()

    async def publish_batch(self) -> int:
        """Publishes what waits, if it is this relay's turn; returns how many events that were."""
        rows = await self._call(self._ledger.unpublished, BATCH_SIZE)
        return len(rows) if rows and await self.publish(rows) else 0

    async def publish(self, rows: Sequence[OutboxRow]) -> bool:
        """False when it is another relay's turn."""
        messages = list(map(_message, self._ours(rows)))
        renewing = asyncio.create_task(self._renew())
        try:
            if not await self._leads():
                return False
            if messages:
                await self._broker.publish(messages)
        finally:
            renewing.cancel()
        now_ms = self._world.now_ms()
        again = {
            row.sequence: now_ms + self._republish_after_ms * 2 ** min(row.publications, DOUBLINGS_MAX) for row in rows
        }
        await self._call(lambda: self._ledger.mark_published(list(again), look_again_at=again))
        self._count(self._ours(rows), now_ms)
        return True

    def _ours(self, rows: Sequence[OutboxRow]) -> Sequence[OutboxRow]:
        """Without those that a bucket tells of; whether it has done so is looked at like any other publication."""
        notifications = self._notifications
        return rows if notifications is None else [row for row in rows if not notifications.leaves(row)]

    def _count(self, rows: Sequence[OutboxRow], now_ms: int) -> None:
        fresh = [row for row in rows if not row.publications]
        if fresh:
            PUBLISHED.count(by=len(fresh))
        if len(fresh) < len(rows):
            REPUBLISHED.count(by=len(rows) - len(fresh))
        for row in fresh:
            if row.topic in self._completion_topics:
                COMPLETION_SECONDS.observe((now_ms - row.created_at) / 1000)

    async def republish_unconsumed(self) -> int:
        """Publishes again what not every queue of its topic has consumed in time; returns how many events that were."""
        due_ms, republished = self._world.now_ms(), 0
        for _ in range(REPUBLISH_BATCHES_MAX):
            if not await self._leads():
                break
            rows = await self._call(lambda: self._ledger.unfinished(published_before_ms=due_ms, limit=BATCH_SIZE))
            if not rows:
                break
            lost = await self._lost(rows)
            consumed = {row.sequence for row in rows} - {row.sequence for row in lost}
            await self._call(self._ledger.mark_finished, sorted(consumed))
            if lost and await self.publish(lost):
                log.info("reelwork.relay.republish", events=len(lost))
                republished += len(lost)
        return republished

    async def _lost(self, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
        consumers = await self._call(self._ledger.consumers, [row.event_id for row in rows])
        unconsumed = [row for row in rows if not self._is_consumed(row, consumers[row.event_id])]
        if self._notifications is not None:
            unconsumed = await self._call(self._notifications.unheard, unconsumed)
        return [row for row in unconsumed if row.queue is None or await self._awaits_replay(row, row.queue)]

    def _is_consumed(self, row: OutboxRow, consumers: Mapping[str, int]) -> bool:
        """A replay is consumed by what came of it, not by the dead letter that it replays."""
        if row.queue is not None:
            return consumers.get(row.queue, 0) > row.created_at
        return self._broker.topology.queues(row.topic) <= consumers.keys()

    async def _awaits_replay(self, row: OutboxRow, queue: str) -> bool:
        """False also when the message had been consumed before it was replayed: nothing will come of it any more."""
        return await self._call(self._ledger.awaits, row.job_id, [(row.topic, queue)])

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._world.executor, function, *arguments)

    async def _renew(self) -> None:
        """A broker may take long; nobody else is to take over meanwhile."""
        while True:
            await self._world.sleep(RENEW_SECONDS)
            with contextlib.suppress(StoreUnavailable):
                await self._leads()


def _message(row: OutboxRow) -> Message:
    return Message(row.event_id, row.job_id, row.topic, row.body, row.queue, row.is_replay)
