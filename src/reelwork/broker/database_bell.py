"""Lets whoever waits in this process hear a database ring."""

from __future__ import annotations

import asyncio

from reelwork.broker.rings import Rings
from reelwork.database import EVERYBODY, Listener


class DatabaseBell(Rings):
    """It is deaf until it is given a listener, and again when that one has lost its connection."""

    def __init__(self) -> None:
        super().__init__()
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_deaf(self) -> bool:
        return self._listener is None

    def hear(self, listener: Listener) -> None:
        """Listens with `listener` from now on; whoever waits looks again, because it may have missed a ring."""
        self.close()
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener.fileno(), self._take)
        self.ring([EVERYBODY])

    def _take(self) -> None:
        queues = self._listener.take() if self._listener is not None else None
        if queues is None:
            self.close()
            queues = [EVERYBODY]
        self.ring(queues)

    def close(self) -> None:
        if self._listener is not None and self._loop is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
