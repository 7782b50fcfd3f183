"""Everything of the runtime that one machine needs, besides the API: relay, sweeper and supervised workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from reelwork.runtime.backends import Backends
from reelwork.runtime.supervisor import Supervisor


async def run_node(backends: Backends, stop: asyncio.Event, *, workers: int, services: Sequence[str] = ()) -> None:
    """Runs until `stop`, then drains. With no workers only the relay and the sweeper run.

    Raises what stopped it when it was not `stop`.
    """
    relay = backends.relay()
    tasks = [relay.run(stop), backends.sweeper(relay).run(stop)]
    if workers:
        tasks.append(Supervisor(backends, concurrency=workers, services=services).run(stop))
    running = [asyncio.create_task(task) for task in tasks]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        stop.set()
        await asyncio.gather(*running, return_exceptions=True)
