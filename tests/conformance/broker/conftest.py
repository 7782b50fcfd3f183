"""Every test of `test_broker.py` runs once a broker, every other once a store. A new broker joins by one line in
BROKERS.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from reelwork.broker import Broker, Delivery, MemoryBroker, Message, SqlBroker, Topology
from reelwork.broker.redis import RedisBroker
from reelwork.ledger import Work, open_ledger
from reelwork.ledger.sql import SqlLedger
from tests.clock import ManualClock
from tests.conformance.ledger.stores import STORES
from tests.valkey import fresh_url

LEASE_SECONDS = 30.0
TOPOLOGY = Topology.of([("frames", "q.embedding"), ("frames", "q.keypoint"), ("job", "q.planner")])


def memory_broker(ledger: SqlLedger) -> Broker:
    return MemoryBroker(clock=ledger.clock, lease_seconds=LEASE_SECONDS)


def sql_broker(ledger: SqlLedger) -> Broker:
    return SqlBroker(ledger.database, clock=ledger.clock, lease_seconds=LEASE_SECONDS)


def redis_broker(ledger: SqlLedger) -> Broker:
    return RedisBroker(fresh_url(), clock=ledger.clock, lease_seconds=LEASE_SECONDS)


# A broker, and the store of the ledger beside it.
BROKERS: Mapping[str, tuple[Callable[[SqlLedger], Broker], str]] = {
    "memory": (memory_broker, "sqlite"),
    "redis": (redis_broker, "sqlite"),
    "sql-on-sqlite": (sql_broker, "sqlite"),
    "sql-on-postgresql": (sql_broker, "postgresql"),
}


@dataclass
class Bench:
    """A broker, a clock to move, and a ledger to acknowledge in."""

    broker: Broker
    ledger: SqlLedger
    clock: ManualClock

    async def publish(self, topic: str, *event_ids: str, queue: str | None = None, job_id: str = "job") -> None:
        await self.broker.publish(
            [
                Message(event_id=event_id, job_id=job_id, topic=topic, body=f'"{event_id}"', queue=queue)
                for event_id in event_ids
            ]
        )

    async def take(self, queue: str, limit: int = 100) -> list[Delivery]:
        return await self.broker.receive(queue, limit=limit, wait_seconds=0)

    async def take_one(self, queue: str) -> Delivery:
        (delivery,) = await self.take(queue)
        return delivery

    async def finish(self, delivery: Delivery) -> None:
        """The two halves of an acknowledgement, of which each broker needs one."""
        if delivery.receipt is not None:
            self.ledger.commit(Work(receipts=[delivery.receipt]))
        await delivery.ack()


def event_ids(deliveries: list[Delivery]) -> list[str]:
    return [delivery.message.event_id for delivery in deliveries]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest) -> str:
    """The name of the store under the ledger."""
    return str(request.param)


@pytest.fixture
def url(store: str, tmp_path: Path) -> Iterator[str]:
    with STORES[store](tmp_path, "reelwork") as url:
        yield url


@pytest.fixture
def ledger(url: str, clock: ManualClock) -> Iterator[SqlLedger]:
    ledger = open_ledger(url, clock=clock)
    yield ledger
    ledger.close()


@pytest.fixture
async def bench(broker_kind: str, ledger: SqlLedger, clock: ManualClock) -> AsyncIterator[Bench]:
    """For tests that are parametrised by `each_broker`."""
    broker = BROKERS[broker_kind][0](ledger)
    await broker.declare(TOPOLOGY)
    if isinstance(broker, SqlBroker):
        ledger.attach(broker.courier)
    yield Bench(broker, ledger, clock)
    await broker.close()


each_broker = pytest.mark.parametrize(
    ("broker_kind", "store"), [pytest.param(name, store, id=name) for name, (_, store) in sorted(BROKERS.items())]
)
