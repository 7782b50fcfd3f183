"""What the queues in the ledger's database hold of a job: by what each message waits for."""

from __future__ import annotations

import asyncio

from reelwork.broker import SqlBroker, Topology
from reelwork.events import VideoSubmitted
from reelwork.ledger import AssetState, Ledger, QueueDepth, Work
from reelwork.ledger.sql import SqlLedger
from tests.clock import ManualClock
from tests.conformance.ledger.stores import announced, done, started

QUEUE = "q.planner"
EMPTY = {"queue": QUEUE, "waiting": 0, "abandoned": 0, "pausing": 0, "in_hand": 0, "is_worked_on": False}


def depth(**fields: object) -> QueueDepth:
    return QueueDepth(**{**EMPTY, "oldest_waiting_at": None, **fields})  # type: ignore[arg-type]


def test_of_one_job(ledger: Ledger, clock: ManualClock) -> None:
    if not isinstance(ledger, SqlLedger):  # its queues are elsewhere
        ledger.commit(Work(events=[VideoSubmitted(job_id="a")]))
        assert ledger.queue_depths("a") == []
        return

    async def test() -> None:
        broker = SqlBroker(ledger.database, clock=clock, lease_seconds=30)
        await broker.declare(Topology.of([(VideoSubmitted.topic, QUEUE)]))
        ledger.attach(broker.courier)
        born = clock.now_ms
        ledger.commit(Work(events=[VideoSubmitted(job_id="a")]))
        clock.advance(10)
        ledger.commit(Work(events=[VideoSubmitted(job_id="b")]))
        assert ledger.queue_depths("a") == [depth(waiting=1, oldest_waiting_at=born)]
        assert ledger.queue_depths("nobody") == []

        (first,) = await broker.receive(QUEUE, limit=1, wait_seconds=0)
        assert ledger.queue_depths("a") == [depth(in_hand=1, is_worked_on=True)]
        assert ledger.queue_depths("b") == [depth(waiting=1, oldest_waiting_at=clock.now_ms, is_worked_on=True)]

        await first.retry(5)
        assert ledger.queue_depths("a") == [depth(pausing=1)]
        clock.advance(5)
        assert ledger.queue_depths("a") == [depth(waiting=1, oldest_waiting_at=clock.now_ms)]

        await broker.receive(QUEUE, limit=1, wait_seconds=0)
        clock.advance(31)
        assert ledger.queue_depths("a") == [depth(abandoned=1, oldest_waiting_at=clock.now_ms - 1_000)]
        await broker.close()

    asyncio.run(test())


def test_the_last_news_of_a_stage(ledger: Ledger, clock: ManualClock) -> None:
    ledger.commit(announced("frames", 2))
    assert ledger.last_recorded_at("job", "frames") is None
    ledger.commit(done("frames", "a"))
    clock.advance(7)
    ledger.commit(started("frames", "b"))
    assert ledger.known_assets("job", "frames", ["b"])["b"].state is AssetState.STARTED
    assert ledger.last_recorded_at("job", "frames") == clock.now_ms
    assert ledger.last_recorded_at("other", "frames") is None
