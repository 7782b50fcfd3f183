"""Every test of `test_broker.py` runs once a broker, every other once a store. A new broker joins by one line in
BROKERS, which also says what its engine cannot do: tests that need it are left out, and what the engine does instead is
tested beside it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from aiobotocore.session import AioSession, get_session
from botocore.loaders import Loader, create_loader

from reelwork.broker import Broker, Delivery, MemoryBroker, Message, SqlBroker, Topology
from reelwork.broker.rabbitmq import RabbitBroker
from reelwork.broker.redis import RedisBroker
from reelwork.broker.sqs import SqsBroker, service
from reelwork.ledger import Work, open_ledger
from reelwork.ledger.sql import SqlLedger
from tests import moto, rabbitmq
from tests.clock import ManualClock
from tests.conformance.ledger.stores import SQL_STORES, STORES
from tests.valkey import fresh_url

LEASE_SECONDS = 30.0
TOPOLOGY = Topology.of([("frames", "q.embedding"), ("frames", "q.keypoint"), ("job", "q.planner")])


def memory_broker(ledger: SqlLedger) -> Broker:
    return MemoryBroker(clock=ledger.clock, lease_seconds=LEASE_SECONDS)


def sql_broker(ledger: SqlLedger) -> Broker:
    return SqlBroker(ledger.database, clock=ledger.clock, lease_seconds=LEASE_SECONDS)


def redis_broker(ledger: SqlLedger) -> Broker:
    return RedisBroker(fresh_url(), clock=ledger.clock, lease_seconds=LEASE_SECONDS)


def rabbit_broker(ledger: SqlLedger) -> Broker:
    return RabbitBroker(rabbitmq.fresh_url(), clock=ledger.clock, lease_seconds=LEASE_SECONDS)


def sqs_broker(ledger: SqlLedger) -> Broker:
    """Its queues go by the ledger's clock."""
    assert isinstance(ledger.clock, ManualClock)
    return SqsBroker(moto.fresh_url(ledger.clock), clock=ledger.clock, lease_seconds=LEASE_SECONDS)


class Ability(StrEnum):
    """What not every engine can do."""

    EXACT_PAUSES = "hands a retry out again when its pause is over by the injected clock"
    LOOKS_INSIDE = "tells whether a queue holds messages of a job"


class Engine(NamedTuple):
    """A broker, the store of the ledger beside it, and what it cannot do."""

    make: Callable[[SqlLedger], Broker]
    store: str
    lacks: frozenset[Ability] = frozenset()


BROKERS: Mapping[str, Engine] = {
    "memory": Engine(memory_broker, "sqlite"),
    "rabbitmq": Engine(rabbit_broker, "sqlite", frozenset(Ability)),
    "redis": Engine(redis_broker, "sqlite"),
    "sqs": Engine(sqs_broker, "sqlite", frozenset({Ability.LOOKS_INSIDE})),
    "sql-on-sqlite": Engine(sql_broker, "sqlite"),
    "sql-on-postgresql": Engine(sql_broker, "postgresql"),
}
each_broker = pytest.mark.each_broker
needs = pytest.mark.needs


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("each_broker") is None:
        if "store" in metafunc.fixturenames:
            metafunc.parametrize("store", SQL_STORES)
        return
    needed = {ability for mark in metafunc.definition.iter_markers("needs") for ability in mark.args}
    able = {name: engine for name, engine in BROKERS.items() if needed.isdisjoint(engine.lacks)}
    cases = [pytest.param(name, engine.store, id=name) for name, engine in sorted(able.items())]
    metafunc.parametrize(("broker_kind", "store"), cases)


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


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials for its emulator; and what its library knows of AWS is read once, not once a broker."""
    for name, value in moto.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(service, "get_session", _session)


def _session() -> AioSession:
    session = get_session()
    session.register_component("data_loader", _knowledge())
    return session


@cache
def _knowledge() -> Loader:
    return create_loader()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def url(store: str, tmp_path: Path) -> Iterator[str]:
    """store: the name of the store under the ledger."""
    with STORES[store](tmp_path, "reelwork") as url:
        yield url


@pytest.fixture
def ledger(url: str, clock: ManualClock) -> Iterator[SqlLedger]:
    ledger = open_ledger(url, clock=clock)
    yield ledger
    ledger.close()


@pytest.fixture
async def bench(broker_kind: str, ledger: SqlLedger, clock: ManualClock) -> AsyncIterator[Bench]:
    """For tests that are marked by `each_broker`."""
    broker = BROKERS[broker_kind].make(ledger)
    await broker.declare(TOPOLOGY)
    if isinstance(broker, SqlBroker):
        ledger.attach(broker.courier)
    yield Bench(broker, ledger, clock)
    await broker.close()
