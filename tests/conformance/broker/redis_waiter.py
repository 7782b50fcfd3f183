"""A process of its own that waits for messages and tells the id of each at once: -m ...redis_waiter URL QUEUE COUNT.

It never polls: only the bell can wake it. It says so when it has looked in vain and is about to wait.
"""

from __future__ import annotations

import asyncio
import sys

import reelwork.broker.redis.broker
from reelwork.broker.redis import RedisBroker
from reelwork.broker.redis.bell import RedisBell
from tests.processes import READY

FOREVER_SECONDS = 86_400.0
WAITS = "waits"


async def wait(self: RedisBell, queue: str, rings: int, seconds: float) -> None:
    print(WAITS, flush=True)
    await super(RedisBell, self).wait(queue, rings, seconds)


async def main(url: str, queue: str, count: int) -> None:
    reelwork.broker.redis.broker.IDLE_POLL_SECONDS = FOREVER_SECONDS  # type: ignore[misc]
    RedisBell.wait = wait  # type: ignore[method-assign]
    broker = RedisBroker(url)
    assert await broker.receive(queue, limit=1, wait_seconds=0) == []
    print(READY, flush=True)
    for _ in range(count):
        (delivery,) = await broker.receive(queue, limit=1, wait_seconds=FOREVER_SECONDS)
        print(delivery.message.event_id, flush=True)
        await delivery.ack()
    await broker.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
