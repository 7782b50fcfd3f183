"""A process of its own that takes messages and never ends them: -m ...rabbit_holder URL QUEUE LIMIT.

It tells the ids that it holds in a line of JSON, and then waits to be killed.
"""

from __future__ import annotations

import asyncio
import json
import sys

from reelwork.broker import Topology
from reelwork.broker.rabbitmq import RabbitBroker
from tests.processes import READY

FOREVER_SECONDS = 86_400.0


async def main(url: str, queue: str, limit: int) -> None:
    broker = RabbitBroker(url)
    await broker.declare(Topology({}))
    print(READY, flush=True)
    held = []
    while len(held) < limit:
        held += await broker.receive(queue, limit=limit - len(held), wait_seconds=FOREVER_SECONDS)
    print(json.dumps([delivery.message.event_id for delivery in held]), flush=True)
    await asyncio.sleep(FOREVER_SECONDS)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
