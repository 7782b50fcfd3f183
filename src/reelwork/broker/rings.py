"""Lets whoever waits for a queue in this process hear that there is news in it, whatever the engine rings with."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection

from reelwork.database import EVERYBODY


class Rings:
    """Counts the rings of every queue, so that one between a look and a wait is not lost."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Event] = {}
        self._rings: Counter[str] = Counter()

    def ring(self, queues: Collection[str]) -> None:
        self._rings.update(queues)
        for queue in list(self._waiting) if EVERYBODY in queues else queues:
            waiting = self._waiting.pop(queue, None)
            if waiting is not None:
                waiting.set()

    def rings(self, queue: str) -> int:
        """How often it rang for this queue."""
        return self._rings[queue] + self._rings[EVERYBODY]

    async def wait(self, queue: str, rings: int, seconds: float) -> None:
        """Returns at the first ring for the queue after the one numbered `rings`, or after `seconds`."""
        if self.rings(queue) == rings:
            try:
                async with asyncio.timeout(seconds):
                    await self._waiting.setdefault(queue, asyncio.Event()).wait()
            except TimeoutError:
                return
