"""Everything of the runtime that one machine needs, besides the API: relay, sweeper and supervised workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from reelwork.runtime.backends import Backends
from reelwork.runtime.supervisor import Supervisor
from reelwork.runtime.together import run_together


async def run_node(backends: Backends, stop: asyncio.Event, *, workers: int, services: Sequence[str] = ()) -> None:
    """Runs until `stop`, then drains. With no workers only the relay and the sweeper run.

    Raises what stopped it when it was not `stop`.
    """
    supervisors = [Supervisor(backends, concurrency=workers, services=services)] if workers else []
    relay = backends.relay()
    parts = [relay.run(stop), backends.sweeper(relay).run(stop), *(supervisor.run(stop) for supervisor in supervisors)]
    await run_together(stop, *parts)
