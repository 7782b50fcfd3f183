"""Opens the back ends of a process that may be started before they are, as in a compose file: waits, with a limit."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import structlog

from reelwork.errors import StoreUnavailable
from reelwork.runtime.backends import Backends, open_backends
from reelwork.settings import Config

PAUSE_SECONDS_MIN: Final = 0.5
PAUSE_SECONDS_MAX: Final = 5.0

log = structlog.get_logger("reelwork.start")


async def open_when_up(config: Config, stop: asyncio.Event) -> Backends | None:
    """Tries for REELWORK_START_SECONDS; None when `stop` came first.

    Raises ConfigurationError at once, and StoreUnavailable naming the setting when a back end has not answered in time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + config.REELWORK_START_SECONDS
    pause = PAUSE_SECONDS_MIN
    while not stop.is_set():
        try:
            return await open_backends(config)
        except StoreUnavailable as error:
            left = deadline - loop.time()
            if left <= 0:
                waited = f"waited {config.REELWORK_START_SECONDS:g} s, which REELWORK_START_SECONDS sets"
                raise StoreUnavailable(f"{error}; {waited}") from error
            log.warning("reelwork.start.waiting", error=str(error), seconds_left=round(left, 1))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(pause, left)):
                await stop.wait()
        pause = min(pause * 2, PAUSE_SECONDS_MAX)
    return None
