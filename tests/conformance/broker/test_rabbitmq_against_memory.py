"""Any history of calls leaves the queues in RabbitMQ as it leaves those in memory, but for pauses, which go by the
server's clock, and for looking inside.
"""

from __future__ import annotations

from random import Random

import pytest

import reelwork.broker.rabbitmq.broker
from reelwork.broker import MemoryBroker
from reelwork.broker.rabbitmq import RabbitBroker
from tests.clock import ManualClock
from tests.conformance.broker.test_redis_against_memory import LEASE_SECONDS, QUEUES, STEPS, TOPOLOGY
from tests.conformance.broker.test_redis_against_memory import Twins as AnyTwins
from tests.rabbitmq import fresh_url

pytestmark = pytest.mark.anyio
SEEDS = 10
NEVER_SECONDS = 86_400.0


class Twins(AnyTwins):
    async def retry(self) -> None:
        for one, other in self.some()[:2]:
            await one.retry(0)
            await other.retry(0)

    async def empty(self) -> None:
        while self.memory.held():
            self.clock.advance(LEASE_SECONDS)
            self.taken = []
            for _ in range(8):
                await self.take()
            await self.memory.ack([one for one, _ in self.taken])
            await self.redis.ack([other for _, other in self.taken])
        for queue in QUEUES:
            assert await self.redis.receive(queue, limit=1_000, wait_seconds=0) == []


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_any_history(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given back meanwhile by the time of the machine: the histories go by the injected clock alone."""
    monkeypatch.setattr(reelwork.broker.rabbitmq.broker, "IDLE_SECONDS_MAX", NEVER_SECONDS)
    clock, random = ManualClock(), Random(seed)
    memory = MemoryBroker(clock=clock, lease_seconds=LEASE_SECONDS)
    rabbitmq = RabbitBroker(fresh_url(), clock=clock, lease_seconds=LEASE_SECONDS)
    for broker in (memory, rabbitmq):
        await broker.declare(TOPOLOGY)
    twins = Twins(memory, rabbitmq, clock, random)
    weights = {
        twins.publish: 4,
        twins.take: 5,
        twins.ack: 3,
        twins.release: 2,
        twins.retry: 3,
        twins.extend: 2,
        twins.let_time_pass: 4,
    }
    try:
        for step in random.choices(list(weights), list(weights.values()), k=STEPS):
            await step()
        await twins.empty()
    finally:
        await rabbitmq.close()
