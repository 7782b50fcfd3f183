"""Lets deliveries of one process be worked on side by side, or one of them alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator


class Turnstile:
    """Who waits to be alone keeps newcomers out, and goes when the last of those inside has left."""

    def __init__(self) -> None:
        self._inside = 0
        self._claims = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._one_at_a_time = asyncio.Lock()

    async def wait_open(self, stop: asyncio.Event) -> None:
        """Returns when nobody is alone or waits for it, or at `stop`."""
        while not self._open.is_set() and not stop.is_set():
            waiting = [asyncio.create_task(event.wait()) for event in (self._open, stop)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()

    def enter(self) -> None:
        """For who has just waited, or is inside already."""
        self._inside += 1
        self._empty.clear()

    def leave(self) -> None:
        self._inside -= 1
        if not self._inside:
            self._empty.set()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        self.enter()
        try:
            yield
        finally:
            self.leave()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        self._claims += 1
        self._open.clear()
        try:
            async with self._one_at_a_time:
                await self._empty.wait()
                yield
        finally:
            self._claims -= 1
            if not self._claims:
                self._open.set()
