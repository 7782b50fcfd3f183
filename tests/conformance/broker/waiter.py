"""A process of its own that waits for messages and tells the id of each at once: -m ...waiter DATABASE_URL QUEUE COUNT.

It never polls: only the doorbell can wake it.
"""

from __future__ import annotations

import asyncio
import sys

import reelwork.broker.sql
from reelwork.broker import SqlBroker
from reelwork.database import open_database
from tests.processes import READY

FOREVER_SECONDS = 86_400.0


async def main(url: str, queue: str, count: int) -> None:
    reelwork.broker.sql.IDLE_POLL_SECONDS = FOREVER_SECONDS  # type: ignore[misc]
    database = open_database(url)
    broker = SqlBroker(database)
    assert await broker.receive(queue, limit=1, wait_seconds=0) == []
    print(READY, flush=True)
    for _ in range(count):
        (delivery,) = await broker.receive(queue, limit=1, wait_seconds=FOREVER_SECONDS)
        print(delivery.message.event_id, flush=True)
    await broker.close()
    database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
