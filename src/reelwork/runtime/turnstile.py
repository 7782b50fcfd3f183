"""Lets deliveries of one process be worked on side by side, or one of them alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator


class Turnstile:
    """Who wants to be alone closes it to newcomers, and goes in when the last of those inside has left."""

    def __init__(self) -> None:
        self._inside = 0
        self._closed = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._one_at_a_time = asyncio.Lock()

    async def wait_open(self, stop: asyncio.Event) -> None:
        """Returns when nobody has closed it, or at `stop`."""
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

    def close(self) -> None:
        self._closed += 1
        self._open.clear()

    def reopen(self) -> None:
        """Once for each time that it was closed."""
        self._closed -= 1
        if not self._closed:
            self._open.set()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """For who has closed it."""
        async with self._one_at_a_time:
            await self._empty.wait()
            yield
