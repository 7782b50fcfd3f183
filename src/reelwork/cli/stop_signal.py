"""Stopping in order: the first SIGINT or SIGTERM asks for it, a second one no longer asks."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from typing import Final

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_on_signal() -> Iterator[asyncio.Event]:
    """An event that the first signal sets."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def let_go() -> None:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)

    def ask() -> None:
        stop.set()
        let_go()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, ask)
    try:
        yield stop
    finally:
        let_go()
