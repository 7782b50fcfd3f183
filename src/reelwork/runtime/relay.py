"""Carries events from the outbox to the broker, oldest first, and marks them only after the broker has confirmed
them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import structlog

from reelwork.broker import Broker
from reelwork.errors import StoreUnavailable
from reelwork.ledger import Ledger
from reelwork.ledger.records import OutboxRow
from reelwork.message import Message
from reelwork.runtime.world import World

IDLE_SECONDS: Final = 0.2
FAILURE_PAUSE_SECONDS: Final = 2.0
BATCH_SIZE: Final = 500
DOUBLINGS_MAX: Final = 10

T = TypeVar("T")
log = structlog.get_logger("reelwork.relay")


class Relay:
    """republish_after_seconds: when to look whether a published event was consumed; doubles with every publication."""

    def __init__(self, ledger: Ledger, broker: Broker, *, world: World, republish_after_seconds: float) -> None:
        self._ledger = ledger
        self._broker = broker
        self._world = world
        self._republish_after_ms = round(republish_after_seconds * 1000)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                pause = 0.0 if await self.publish_batch() else IDLE_SECONDS
            except StoreUnavailable as error:
                log.warning("reelwork.relay.failed", error=str(error))
                pause = FAILURE_PAUSE_SECONDS
            except Exception as error:  # one thing it stumbles over must not stop the whole node
                log.exception("reelwork.relay.failed", error=str(error))
                pause = FAILURE_PAUSE_SECONDS
            if pause:
                await self._world.sleep(pause)

    async def publish_batch(self) -> int:
        """Publishes what waits; returns how many events that were."""
        rows = await self._call(self._ledger.unpublished, BATCH_SIZE)
        if rows:
            await self.publish(rows)
        return len(rows)

    async def publish(self, rows: list[OutboxRow]) -> None:
        await self._broker.publish(
            [
                Message(
                    event_id=row.event_id,
                    job_id=row.job_id,
                    topic=row.topic,
                    body=row.body,
                    queue=row.queue,
                    is_replay=row.is_replay,
                )
                for row in rows
            ]
        )
        now_ms = self._world.now_ms()
        again = {
            row.sequence: now_ms + self._republish_after_ms * 2 ** min(row.publications, DOUBLINGS_MAX) for row in rows
        }
        await self._call(lambda: self._ledger.mark_published(list(again), look_again_at=again))

    async def republish_unconsumed(self) -> int:
        """Publishes again what not every queue of its topic has consumed in time; returns how many events that were."""
        now_ms = self._world.now_ms()
        rows = await self._call(lambda: self._ledger.unfinished(published_before_ms=now_ms, limit=BATCH_SIZE))
        if not rows:
            return 0
        consumers = await self._call(self._ledger.consumers, [row.event_id for row in rows])
        lost = [row for row in rows if not self._is_consumed(row, consumers[row.event_id])]
        lost = [row for row in lost if row.queue is None or await self._awaits_replay(row, row.queue)]
        await self._call(self._ledger.mark_finished, [row.sequence for row in rows if row not in lost])
        if lost:
            log.info("reelwork.relay.republish", events=len(lost))
            await self.publish(lost)
        return len(lost)

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
