"""Any history of calls leaves the queues in Redis as it leaves those in memory: the two share no code."""

from __future__ import annotations

from random import Random

import pytest

from reelwork.broker import Broker, Delivery, MemoryBroker, Message, Topology
from reelwork.broker.redis import RedisBroker
from tests.clock import ManualClock
from tests.valkey import fresh_url

pytestmark = pytest.mark.anyio
LEASE_SECONDS = 30.0
QUEUES = ["q.a", "q.b"]
TOPOLOGY = Topology.of([("both", "q.a"), ("both", "q.b"), ("one", "q.a")])
JOBS = ["job-1", "job-2"]
SEEDS, STEPS = 20, 60
Pair = tuple[Delivery, Delivery]


class Twins:
    """The same calls for both brokers; whatever they say must be the same."""

    def __init__(self, memory: MemoryBroker, redis: Broker, clock: ManualClock, random: Random) -> None:
        self.memory, self.redis = memory, redis
        self.clock, self.random = clock, random
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
        await self.redis.publish(messages)

    async def take(self) -> None:
        queue = self.random.choice(QUEUES)
        sides = []
        for broker in (self.memory, self.redis):
            deliveries = await broker.receive(queue, limit=1_000, wait_seconds=0)
            sides.append(sorted(deliveries, key=lambda each: each.message.event_id))
        assert [told(each) for each in sides[0]] == [told(each) for each in sides[1]]
        self.taken += zip(*sides, strict=True)

    async def ack(self) -> None:
        pairs = self.some()
        await self.memory.ack([one for one, _ in pairs])
        await self.redis.ack([other for _, other in pairs])

    async def release(self) -> None:
        pairs = self.some()
        await self.memory.release([one for one, _ in pairs])
        await self.redis.release([other for _, other in pairs])

    async def retry(self) -> None:
        for one, other in self.some()[:2]:
            pause = self.random.choice([0, 5, 60])
            await one.retry(pause)
            await other.retry(pause)

    async def extend(self) -> None:
        for one, other in self.some():
            assert await one.extend() is await other.extend()

    async def let_time_pass(self) -> None:
        self.clock.advance(self.random.choice([1, 5, LEASE_SECONDS / 2, LEASE_SECONDS]))

    async def look(self) -> None:
        for job in JOBS:
            for queues in ([QUEUES[0]], [QUEUES[1]], QUEUES):
                assert await self.memory.holds(job, queues) is await self.redis.holds(job, queues)

    def some(self) -> list[Pair]:
        """Some of all that were ever taken: what has ended since is tried again."""
        return self.random.sample(self.taken, min(len(self.taken), self.random.randint(0, 8)))

    async def empty(self) -> None:
        while await self.memory.holds(JOBS[0], QUEUES) or await self.memory.holds(JOBS[1], QUEUES):
            self.clock.advance(60)
            self.taken = []
            for _ in range(8):
                await self.take()
            await self.memory.ack([one for one, _ in self.taken])
            await self.redis.ack([other for _, other in self.taken])
        await self.look()


def told(delivery: Delivery) -> tuple[object, ...]:
    return (
        delivery.queue,
        delivery.message._replace(queue=None),
        delivery.deliveries,
        delivery.attempts,
        delivery.is_suspect,
    )


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_any_history(seed: int) -> None:
    clock, random = ManualClock(), Random(seed)
    memory = MemoryBroker(clock=clock, lease_seconds=LEASE_SECONDS)
    redis = RedisBroker(fresh_url(), clock=clock, lease_seconds=LEASE_SECONDS)
    for broker in (memory, redis):
        await broker.declare(TOPOLOGY)
    twins = Twins(memory, redis, clock, random)
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
        await redis.close()
