"""Any history of calls leaves the queues of an engine as it leaves those in memory: the two share no code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final, NamedTuple

import pytest

import reelwork.broker.rabbitmq.broker
import reelwork.broker.sqs.broker
from reelwork.broker import Broker, Delivery, MemoryBroker, Message, Topology
from reelwork.broker.rabbitmq import RabbitBroker
from reelwork.broker.rabbitmq.broker import RabbitDelivery
from reelwork.broker.redis import RedisBroker
from reelwork.broker.sqs import SqsBroker
from reelwork.broker.sqs.broker import SqsDelivery
from tests import moto, rabbitmq, valkey
from tests.clock import ManualClock
from tests.conformance.broker.conftest import BROKERS, LEASE_SECONDS, Ability

pytestmark = pytest.mark.anyio
QUEUES: Final = ["q.a", "q.b"]
TOPOLOGY: Final = Topology.of([("both", "q.a"), ("both", "q.b"), ("one", "q.a")])
JOBS: Final = ["job-1", "job-2"]
STEPS: Final = 60
NEVER_SECONDS: Final = 86_400.0
Pair = tuple[Delivery, Delivery]


class Engine(NamedTuple):
    make: Callable[[ManualClock], Broker]
    seeds: int


ENGINES: Final[Mapping[str, Engine]] = {
    "rabbitmq": Engine(
        lambda clock: RabbitBroker(rabbitmq.fresh_url(), clock=clock, lease_seconds=LEASE_SECONDS), seeds=10
    ),
    "redis": Engine(lambda clock: RedisBroker(valkey.fresh_url(), clock=clock, lease_seconds=LEASE_SECONDS), seeds=20),
    "sqs": Engine(lambda clock: SqsBroker(moto.fresh_url(clock), clock=clock, lease_seconds=LEASE_SECONDS), seeds=3),
}


class Twins:
    """The same calls for both brokers; whatever they say must be the same. lacks: what the other cannot do."""

    def __init__(
        self, memory: MemoryBroker, other: Broker, clock: ManualClock, random: Random, lacks: frozenset[Ability]
    ) -> None:
        self.memory, self.other = memory, other
        self.clock, self.random = clock, random
        self.pauses = [0] if Ability.EXACT_PAUSES in lacks else [0, 5, 60]
        self.looks_inside = Ability.LOOKS_INSIDE not in lacks
        self.taken: list[Pair] = []
        self.published = 0

    async def publish(self) -> None:
        messages = []
        for _ in range(self.random.randint(1, 5)):
            self.published += 1
            topic, queue = self.random.choice([("both", None), ("one", None), ("both", "q.b"), ("nobody", None)])
            is_replay = queue is not None
            messages.append(
                Message(f"{self.published:04}", self.random.choice(JOBS), topic, '{"ä": 1}', queue, is_replay)
            )
        await self.memory.publish(messages)
        await self.other.publish(messages)

    async def take(self) -> None:
        queue = self.random.choice(QUEUES)
        sides = []
        for broker in (self.memory, self.other):
            deliveries = await broker.receive(queue, limit=1_000, wait_seconds=0)
            sides.append(sorted(deliveries, key=lambda each: each.message.event_id))
        assert [told(each) for each in sides[0]] == [told(each) for each in sides[1]]
        self.taken += zip(*sides, strict=True)

    async def ack(self) -> None:
        pairs = self.some()
        await self.memory.ack([one for one, _ in pairs])
        await self.other.ack([other for _, other in pairs])

    async def release(self) -> None:
        pairs = self.some()
        await self.memory.release([one for one, _ in pairs])
        await self.other.release([other for _, other in pairs])

    async def retry(self) -> None:
        for one, other in self.some()[:2]:
            pause = self.random.choice(self.pauses)
            await one.retry(pause)
            await other.retry(pause)

    async def extend(self) -> None:
        for one, other in self.some():
            assert await one.extend() is await other.extend()

    async def let_time_pass(self) -> None:
        await self.wait(self.random.choice([1, 5, LEASE_SECONDS / 2, LEASE_SECONDS]))

    async def wait(self, seconds: float) -> None:
        """What was not begun lies nowhere for so long."""
        if isinstance(self.other, SqsBroker):
            await self.other.hand_on(0)
        self.clock.advance(seconds)

    async def look(self) -> None:
        if self.looks_inside:
            for job in JOBS:
                for queues in ([QUEUES[0]], [QUEUES[1]], QUEUES):
                    assert await self.memory.holds(job, queues) is await self.other.holds(job, queues)

    def some(self) -> list[Pair]:
        """Some of all that were ever taken: what has ended since is tried again."""
        taken = [pair for pair in self.taken if not self.is_overdue(pair[1])]
        return self.random.sample(taken, min(len(taken), self.random.randint(0, 8)))

    def is_overdue(self, delivery: Delivery) -> bool:
        """Here a lease ends with its time, at once or soon, elsewhere not before somebody else has the message."""
        return isinstance(delivery, RabbitDelivery | SqsDelivery) and delivery.held.ends_at <= self.clock()

    async def empty(self) -> None:
        while self.memory.held():
            await self.wait(60)
            self.taken = []
            for _ in range(8):
                await self.take()
            await self.memory.ack([one for one, _ in self.taken])
            await self.other.ack([other for _, other in self.taken])
        await self.look()
        for queue in QUEUES:
            assert await self.other.receive(queue, limit=1_000, wait_seconds=0) == []


def told(delivery: Delivery) -> tuple[object, ...]:
    return (
        delivery.queue,
        delivery.message._replace(queue=None),
        delivery.deliveries,
        delivery.attempts,
        delivery.is_suspect,
    )


@pytest.mark.parametrize(
    ("engine", "seed"), [(name, seed) for name, engine in ENGINES.items() for seed in range(engine.seeds)]
)
async def test_any_history(engine: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given back meanwhile by the time of the machine: the histories go by the injected clock alone."""
    for module in (reelwork.broker.rabbitmq.broker, reelwork.broker.sqs.broker):
        monkeypatch.setattr(module, "IDLE_SECONDS_MAX", NEVER_SECONDS)
    clock, random = ManualClock(), Random(seed)
    memory, other = MemoryBroker(clock=clock, lease_seconds=LEASE_SECONDS), ENGINES[engine].make(clock)
    for broker in (memory, other):
        await broker.declare(TOPOLOGY)
    twins = Twins(memory, other, clock, random, BROKERS[engine].lacks)
    weights = {
        twins.publish: 4,
        twins.take: 5,
        twins.ack: 3,
        twins.release: 2,
        twins.retry: 3,
        twins.extend: 2,
        twins.let_time_pass: 4,
        twins.look: 1,
    }
    try:
        for step in random.choices(list(weights), list(weights.values()), k=STEPS):
            await step()
        await twins.empty()
    finally:
        await other.close()
