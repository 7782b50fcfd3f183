"""The memory broker's faults: each does what it says, and one seed always plays the same dice."""

from __future__ import annotations

import pytest

from reelwork.broker import Faults, MemoryBroker, Message
from tests.clock import ManualClock
from tests.conformance.broker.conftest import TOPOLOGY, event_ids

pytestmark = pytest.mark.anyio
NAMES = [f"event-{number:03}" for number in range(200)]


async def seen(faults: Faults, *, seed: int = 7) -> tuple[list[str], list[str]]:
    """What the queue hands out at once, and what it hands out a minute later."""
    clock = ManualClock()
    broker = MemoryBroker(clock=clock, faults=faults, seed=seed)
    await broker.declare(TOPOLOGY)
    for name in NAMES:
        await broker.publish([Message(event_id=name, job_id="job", topic="job", body="{}")])
    taken = []
    for _ in range(2):
        deliveries = await broker.receive("q.planner", limit=1_000, wait_seconds=0)
        taken.append(event_ids(deliveries))
        for delivery in deliveries:
            await delivery.ack()
        clock.advance(60)
    await broker.close()
    at_once, later = taken
    return at_once, later


async def test_none_by_default() -> None:
    assert await seen(Faults()) == (NAMES, [])


async def test_losing() -> None:
    at_once, later = await seen(Faults(lose=0.3))
    assert 100 < len(at_once) < 180
    assert at_once == [name for name in NAMES if name in set(at_once)]
    assert later == []


async def test_doubling() -> None:
    at_once, _ = await seen(Faults(duplicate=0.5))
    assert set(at_once) == set(NAMES)
    assert 250 < len(at_once) < 350


async def test_reordering() -> None:
    at_once, _ = await seen(Faults(reorder=0.5))
    assert at_once != NAMES
    assert sorted(at_once) == NAMES


async def test_delaying() -> None:
    at_once, later = await seen(Faults(delay=0.5, delay_seconds_max=60))
    assert 50 < len(later) < 150
    assert sorted(at_once + later) == NAMES


async def test_everything_at_once_by_one_seed() -> None:
    faults = Faults(lose=0.1, duplicate=0.1, reorder=0.2, delay=0.2)
    assert await seen(faults, seed=1) == await seen(faults, seed=1)
    assert await seen(faults, seed=1) != await seen(faults, seed=2)
