"""One process of an installation at a time does what several could do, by a lease in the ledger.

No clocks are compared. Whoever waits takes the lease once it has seen it unchanged for LEASE_SECONDS; whoever has it
stops believing in it long before, counted from when it began to renew it. So two may overlap only in what the first
began in time and has not ended; what is done under a lease must bear being done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from reelwork.ledger import Ledger
from reelwork.ledger.records import Lease
from reelwork.runtime.world import World

LEASE_SECONDS: Final = 3.0
RENEW_SECONDS: Final = LEASE_SECONDS / 3
T = TypeVar("T")


class Leadership:
    """The lease `name`, as one process has it or waits for it. Nothing is renewed while nobody asks."""

    def __init__(self, ledger: Ledger, name: str, *, world: World) -> None:
        self._ledger = ledger
        self._name = name
        self._world = world
        self._owner = world.new_id().hex
        self._seen: Lease | None = None
        self._unchanged_since = 0.0
        self._believed_until = 0.0

    @property
    def is_believed(self) -> bool:
        """Whether this process need not ask: it has had the lease a moment ago."""
        return self._world.monotonic() < self._believed_until

    async def holds(self) -> bool:
        """Takes or renews the lease where it may. Raises StoreUnavailable."""
        if self.is_believed:
            return True
        if self._seen is None or self._seen.owner != self._owner:
            await self._look()
        if self._seen is None or not self._is_takeable(self._seen):
            return False
        was, self._seen = self._seen, None  # what an error leaves behind must be looked at anew
        began_at = self._world.monotonic()
        if await self._call(lambda: self._ledger.take_lease(self._name, owner=self._owner, was=was)):
            self._seen = Lease(self._owner, was.beats + 1)
            self._believed_until = began_at + RENEW_SECONDS
        return self.is_believed

    async def resign(self) -> None:
        """Others need not wait. Raises StoreUnavailable."""
        self._believed_until = 0.0
        was, self._seen = self._seen, None
        if was is not None and was.owner == self._owner:
            await self._call(lambda: self._ledger.take_lease(self._name, owner="", was=was))

    async def _look(self) -> None:
        lease = await self._call(self._ledger.lease, self._name)
        if lease != self._seen:
            self._seen = lease
            self._unchanged_since = self._world.monotonic()

    def _is_takeable(self, lease: Lease) -> bool:
        if lease.owner in ("", self._owner):
            return True
        return self._world.monotonic() - self._unchanged_since >= LEASE_SECONDS

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._world.executor, function, *arguments)
