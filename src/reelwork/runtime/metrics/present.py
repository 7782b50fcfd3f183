"""What is there now, of all nodes together: queues by the broker, everything else by the ledger.

Looked up when somebody asks, and kept for some seconds, so that no number of askers is a load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import structlog

from reelwork.broker import Broker, Depth
from reelwork.errors import StoreUnavailable
from reelwork.ledger import Census, Ledger
from reelwork.runtime.world import World

KEPT_SECONDS: Final = 5.0
LOOK_SECONDS_MAX: Final = 5.0

log = structlog.get_logger("reelwork.metrics")


@dataclass(frozen=True, slots=True)
class Look:
    """None: it did not answer. at_ms: when this was, epoch ms."""

    census: Census | None
    depths: Mapping[str, Depth] | None
    at_ms: int


class Present:
    def __init__(self, ledger: Ledger, broker: Broker, *, world: World) -> None:
        self._ledger = ledger
        self._broker = broker
        self._world = world
        self._look: Look | None = None
        self._until = 0.0
        self._looking = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reelwork-census")
        self._asked: Future[Census] | None = None

    async def look(self) -> Look:
        """Never raises for an engine that is down."""
        async with self._looking:
            if self._look is None or self._world.monotonic() >= self._until:
                self._look = await self._look_now()
                self._until = self._world.monotonic() + KEPT_SECONDS
            return self._look

    async def _look_now(self) -> Look:
        census, depths = await asyncio.gather(self._census(), self._depths())
        return Look(census, depths, self._world.now_ms())

    async def _census(self) -> Census | None:
        """In a thread of its own, and one at a time: a database that hangs must not take the threads of others."""
        if self._asked is None or self._asked.done():
            self._asked = self._thread.submit(self._ledger.census)
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                return await asyncio.shield(asyncio.wrap_future(self._asked))
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("reelwork.metrics.look_failed", backend="ledger", error=str(error))
            return None

    async def _depths(self) -> Mapping[str, Depth] | None:
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                return await self._broker.depths()
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("reelwork.metrics.look_failed", backend="broker", error=str(error))
            return None
