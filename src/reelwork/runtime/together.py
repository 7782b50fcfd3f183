"""Runs things that belong together: when one of them fails, all of them stop in order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_together(stop: asyncio.Event, *parts: Coroutine[Any, Any, None]) -> None:
    """Runs all parts to their ends. Each must end soon after `stop` is set.

    Raises what the first of them to fail raised, after the others have ended.
    """
    running = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
        for task in running:
            if task.done():
                task.result()
    finally:
        stop.set()
        await asyncio.gather(*running, return_exceptions=True)
