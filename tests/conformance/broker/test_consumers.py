"""Eight consumers of one queue at once, with heartbeats beside their commits; and a server killed while it claims."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from random import Random

from reelwork.broker import Message, SqlBroker, Topology
from reelwork.ledger import Inbox, Work, open_ledger
from tests.clock import ManualClock
from tests.conformance.ledger.stores import announced, done
from tests.conformance.ledger.test_collisions import deadlocks
from tests.postgresql import postgresql_server, shared_server

QUEUE = "q.frames"
TOPOLOGY = Topology.of([("frames", QUEUE)])
CONSUMERS, MESSAGES = 8, 3_000


def messages(count: int) -> list[Message]:
    return [
        Message(event_id=f"{number:04}", job_id="job", topic="frames", body="{}", queue=None) for number in range(count)
    ]


async def consume(url: str, clock: ManualClock, seed: int, begin: threading.Barrier) -> list[list[str]]:
    """What each `receive` gave, until the queue is empty."""
    random = Random(seed)
    taken: list[list[str]] = []
    with closing(open_ledger(url, clock=clock)) as ledger:
        broker = SqlBroker(ledger.database, clock=clock)
        await broker.declare(TOPOLOGY)
        ledger.attach(broker.courier)
        await asyncio.to_thread(begin.wait)
        while deliveries := await broker.receive(QUEUE, limit=random.randint(1, 200), wait_seconds=0):
            ids = [delivery.message.event_id for delivery in deliveries]
            taken.append(ids)
            works = [
                done(
                    "frames",
                    delivery.message.event_id,
                    consumed=[Inbox(QUEUE, delivery.message.event_id)],
                    receipts=[delivery.receipt],
                )
                for delivery in random.sample(deliveries, len(deliveries))
            ]
            heartbeats = [broker.extend(random.sample(deliveries, len(deliveries))) for _ in range(3)]
            results, *_ = await asyncio.gather(asyncio.to_thread(ledger.commit_all, works), *heartbeats)
            assert results == [[]] * len(works)
        await broker.close()
    return taken


async def publish(url: str, clock: ManualClock, count: int) -> None:
    with closing(open_ledger(url, clock=clock)) as ledger:
        ledger.commit(announced("frames", count + 1))
        broker = SqlBroker(ledger.database, clock=clock)
        await broker.declare(TOPOLOGY)
        await broker.publish(messages(count))
        await broker.close()


def test_every_message_goes_to_one_consumer_in_order(url: str, clock: ManualClock) -> None:
    before = deadlocks(url)
    asyncio.run(publish(url, clock, MESSAGES))
    begin = threading.Barrier(CONSUMERS)

    def run(seed: int) -> list[list[str]]:
        return asyncio.run(consume(url, clock, seed, begin))

    with ThreadPoolExecutor(CONSUMERS) as threads:
        taken = list(threads.map(run, range(CONSUMERS)))
    assert sorted(event_id for parts in taken for ids in parts for event_id in ids) == [
        f"{n:04}" for n in range(MESSAGES)
    ]
    for parts in taken:
        told = [event_id for ids in parts for event_id in ids]
        assert told == sorted(told)
    with closing(open_ledger(url, clock=clock)) as ledger:
        assert ledger.queue_depths("job") == []
        assert len(list(ledger.assets("job", "frames"))) == MESSAGES
        assert len(ledger.commit(done("frames", "last"))) == 1
    assert deadlocks(url) == before


def test_a_server_killed_right_after_a_claim_loses_no_message() -> None:
    """A claim does not wait for the disk: a crash may take it back, and then the message is there for the next."""
    shared_server()  # skips or fails where there is none
    clock = ManualClock()

    async def take(ledger_url: str) -> list[tuple[str, Work]]:
        with closing(open_ledger(ledger_url, clock=clock)) as ledger:
            broker = SqlBroker(ledger.database, clock=clock)
            deliveries = await broker.receive(QUEUE, limit=100, wait_seconds=0)
            await broker.close()
        return [
            (
                each.message.event_id,
                done(
                    "frames", each.message.event_id, inbox=Inbox(QUEUE, each.message.event_id), receipts=[each.receipt]
                ),
            )
            for each in deliveries
        ]

    with postgresql_server(durable=True) as server:
        url = server.new_database()
        asyncio.run(publish(url, clock, 20))
        first = dict(asyncio.run(take(url)))
        server.kill()
        server.restart()
        clock.advance(60)
        again = dict(asyncio.run(take(url)))
        assert sorted(again) == sorted(first) == [f"{number:04}" for number in range(20)]
        with closing(open_ledger(url, clock=clock)) as ledger:
            ledger.attach(SqlBroker(ledger.database, clock=clock).courier)
            assert ledger.commit_all([*first.values(), *again.values()]) == [[]] * 40
            assert ledger.queue_depths("job") == []
            (stage,) = ledger.stage_status("job")
            assert stage.done == 20
