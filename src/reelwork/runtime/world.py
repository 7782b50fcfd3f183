"""Time, chance and threads, as the runtime gets them from outside, so that one seed can replay a whole run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

from reelwork.events import new_event_id


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """clock: epoch seconds. monotonic: seconds since some moment. sleep: seconds. executor: where blocking ledger calls
    run, one at a time. reader: where those run that only look and need not wait for commits; None = the executor.
    """

    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Random = field(default_factory=Random)
    new_id: Callable[[], UUID] = new_event_id
    executor: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="reelwork-ledger"))
    reader: Executor | None = None

    def now_ms(self) -> int:
        return round(self.clock() * 1000)
