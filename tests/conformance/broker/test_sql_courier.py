"""The SQL broker inside the ledger's transactions: what is committed is published and acknowledged, nothing else is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from reelwork.broker import Delivery, SqlBroker, Topology
from reelwork.database import open_database
from reelwork.errors import JobNotFound
from reelwork.events import VideoRangesBatch, VideoSubmitted, stable_event_id
from reelwork.ledger import Inbox, JobMove, JobStatus, NewDeadLetter, Work
from reelwork.ledger.records import Recorded
from reelwork.ledger.sql import SqlLedger
from tests.clock import ManualClock
from tests.conformance.broker.conftest import event_ids
from tests.conformance.ledger.stores import announced, done, failed
from tests.processes import ready_children

pytestmark = pytest.mark.anyio
QUEUE, OTHER = "q.analyze.jobs", "q.other"
TOPOLOGY = Topology.of([(VideoSubmitted.topic, QUEUE), (VideoRangesBatch.topic, OTHER), ("frames.completed", OTHER)])
REFUSED = [JobMove(job_id="nobody", allowed=frozenset({JobStatus.PENDING}), to=JobStatus.FAILED)]


@pytest.fixture
async def broker(ledger: SqlLedger, clock: ManualClock) -> AsyncIterator[SqlBroker]:
    broker = SqlBroker(ledger.database, clock=clock)
    await broker.declare(TOPOLOGY)
    ledger.attach(broker.courier)
    yield broker
    await broker.close()


async def take(broker: SqlBroker, queue: str = QUEUE) -> list[Delivery]:
    return await broker.receive(queue, limit=10, wait_seconds=0)


def submitted(job_id: str = "job") -> VideoSubmitted:
    return VideoSubmitted(job_id=job_id)


class TestPublishing:
    async def test_comes_with_the_commit(self, ledger: SqlLedger, broker: SqlBroker) -> None:
        ledger.commit(Work(events=[submitted()]))
        (delivery,) = await take(broker)
        assert (delivery.message.body, delivery.message.event_id) == ('{"job_id":"job"}', str(submitted().identity))
        assert ledger.unpublished() == []

    async def test_a_completion_goes_the_same_way(self, ledger: SqlLedger, broker: SqlBroker) -> None:
        (completion,) = ledger.commit(announced("frames", 0))
        assert event_ids(await take(broker, OTHER)) == [completion.event_id]

    async def test_not_for_a_refused_work(self, ledger: SqlLedger, broker: SqlBroker) -> None:
        with pytest.raises(JobNotFound):
            ledger.commit(Work(moves=REFUSED, events=[submitted()]))
        assert await take(broker) == []

    async def test_a_group_that_is_taken_back_publishes_once(self, ledger: SqlLedger, broker: SqlBroker) -> None:
        class Broken(VideoSubmitted):
            def body(self) -> str:
                raise RuntimeError("no body")

        works = [Work(events=[submitted("a")]), Work(events=[Broken(job_id="b")]), Work(events=[submitted("c")])]
        assert [type(result) for result in ledger.commit_all(works)] == [Recorded, RuntimeError, Recorded]
        assert [delivery.message.job_id for delivery in await take(broker)] == ["a", "c"]

    async def test_an_event_told_twice_is_published_once(self, ledger: SqlLedger, broker: SqlBroker) -> None:
        ledger.commit_all([Work(events=[submitted()]), Work(events=[submitted()])])
        ledger.commit(Work(events=[submitted()]))
        assert len(await take(broker)) == 1

    async def test_is_visible_at_once_whenever_the_news_happened(
        self, ledger: SqlLedger, broker: SqlBroker, clock: ManualClock
    ) -> None:
        """A work may say that it happened at another time; neither its messages nor its neighbours' wait for that."""
        ledger.commit_all([Work(events=[submitted()]), Work(at_ms=clock.now_ms + 3_600_000)])
        ledger.commit(Work(events=[submitted("other")], at_ms=clock.now_ms + 3_600_000))
        assert len(await take(broker)) == 2

    async def test_a_replay_goes_to_its_one_queue(self, ledger: SqlLedger, broker: SqlBroker) -> None:
        event = submitted()
        letter = NewDeadLetter(
            job_id="job",
            queue=OTHER,
            topic=event.topic,
            event_id=str(event.identity),
            body=event.body(),
            error="e",
            attempts=5,
        )
        ledger.commit(Work(events=[event], dead_letters=[letter]))
        assert len(await take(broker)) == 1
        ledger.commit(Work(replay=ledger.dead_letters()[0].dead_letter_id))
        assert await take(broker) == []
        (replayed,) = await take(broker, OTHER)
        assert (replayed.message.is_replay, replayed.message.event_id) == (True, str(event.identity))


class TestAcknowledging:
    async def test_rides_with_the_work(self, ledger: SqlLedger, broker: SqlBroker) -> None:
        ledger.commit(Work(events=[submitted()]))
        (delivery,) = await take(broker)
        batch = VideoRangesBatch(job_id="job", event_id=stable_event_id("batch"), total_ranges=1)
        assert delivery.receipt is not None
        with pytest.raises(JobNotFound):
            ledger.commit(Work(moves=REFUSED, events=[batch], receipts=[delivery.receipt]))
        assert await broker.holds("job", [QUEUE]) is True
        ledger.commit(Work(events=[batch], receipts=[delivery.receipt], inbox=Inbox(QUEUE, "event")))
        assert await broker.holds("job", [QUEUE]) is False
        assert len(await take(broker, OTHER)) == 1

    async def test_of_a_second_delivery_is_all_that_is_left_of_its_work(
        self, ledger: SqlLedger, broker: SqlBroker
    ) -> None:
        ledger.commit(done("frames", "a", inbox=Inbox(QUEUE, "event")))
        ledger.commit(Work(events=[submitted()]))
        (delivery,) = await take(broker)
        assert delivery.receipt is not None
        ledger.commit(done("frames", "b", inbox=Inbox(QUEUE, "event"), receipts=[delivery.receipt]))
        assert await broker.holds("job", [QUEUE]) is False
        assert [asset.asset_id for asset in ledger.assets("job", "frames")] == ["a"]

    async def test_after_the_lease_was_lost_the_work_counts_and_the_message_stays(
        self, ledger: SqlLedger, broker: SqlBroker, clock: ManualClock
    ) -> None:
        ledger.commit(Work(events=[submitted()]))
        (lost,) = await take(broker)
        clock.advance(60)
        (held,) = await take(broker)
        assert lost.receipt is not None
        ledger.commit(done("frames", "a", receipts=[lost.receipt]))
        assert await broker.holds("job", [QUEUE]) is True
        assert await held.extend() is True
        assert len(list(ledger.assets("job", "frames"))) == 1

    async def test_after_the_lease_was_lost_nothing_is_given_up(
        self, ledger: SqlLedger, broker: SqlBroker, clock: ManualClock
    ) -> None:
        ledger.commit(Work(events=[submitted()]))
        (lost,) = await take(broker)
        clock.advance(60)
        (held,) = await take(broker)
        letter = NewDeadLetter(
            job_id="job", queue=QUEUE, topic=submitted().topic, event_id="event", body="{}", error="asleep", attempts=1
        )
        for gone, letters in ((lost, 0), (held, 1), (held, 1)):
            assert gone.receipt is not None
            ledger.commit(failed("frames", "a", dead_letters=[letter], receipts=[gone.receipt]))
            assert len(ledger.dead_letters("job")) == len(list(ledger.assets("job", "frames"))) == letters
        assert await broker.holds("job", [QUEUE]) is False


class TestOwners:
    async def test_what_a_dead_worker_held_is_handed_back_at_once_and_no_one_elses(
        self, ledger: SqlLedger, broker: SqlBroker, clock: ManualClock
    ) -> None:
        owners = ["worker_1", "workerx1", "WORKER_1", "worker_11"]
        ledger.commit_all([Work(events=[submitted(f"job-{number}")]) for number in range(len(owners))])
        brokers = [SqlBroker(ledger.database, clock=clock, lease_owner=owner) for owner in owners]
        for taker in brokers:
            assert len(await taker.receive(QUEUE, limit=1, wait_seconds=0)) == 1
        assert await broker.release_leases("worker_1") == 1
        again = await take(broker)
        assert [delivery.message.job_id for delivery in again] == ["job-0"]
        assert all(delivery.is_suspect for delivery in again)
        for taker in brokers:
            await taker.close()


class TestWaking:
    @pytest.mark.usefixtures("broker")
    async def test_a_process_that_waits_hears_of_every_commit_in_another(self, ledger: SqlLedger, url: str) -> None:
        """The other process polls once a day; each message is committed after the one before has been told of."""
        rounds = 25
        arguments = [url, QUEUE, rounds]
        with ready_children("tests.conformance.broker.waiter", [arguments]) as (waiter,):
            for number in range(rounds):
                event = submitted(f"job-{number}")
                await asyncio.to_thread(ledger.commit, Work(events=[event]))
                assert await asyncio.wait_for(asyncio.to_thread(waiter.line), 30) == str(event.identity)

    async def test_two_brokers_of_one_process_both_hear(
        self, ledger: SqlLedger, broker: SqlBroker, clock: ManualClock, url: str
    ) -> None:
        database = open_database(url)
        other = SqlBroker(database, clock=clock)
        waiting = [asyncio.create_task(taker.receive(QUEUE, limit=1, wait_seconds=600)) for taker in (broker, other)]
        await asyncio.to_thread(ledger.commit_all, [Work(events=[submitted(job_id)]) for job_id in "ab"])
        taken = [delivery.message.job_id for deliveries in await asyncio.gather(*waiting) for delivery in deliveries]
        assert sorted(taken) == ["a", "b"]
        await other.close()
        database.close()


class Waylaid(ThreadPoolExecutor):
    """What was taken waits here until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__(1)
        self.claimed, self.go_on = threading.Event(), threading.Event()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        def call() -> Any:
            result = function(*arguments, **keywords)
            if function.__name__ == "_take":
                self.claimed.set()
                assert self.go_on.wait(10)
            return result

        return super().submit(call)


async def test_what_is_on_its_way_at_an_interruption_arrives(ledger: SqlLedger, clock: ManualClock) -> None:
    with Waylaid() as executor:
        broker = SqlBroker(ledger.database, clock=clock, executor=executor)
        await broker.declare(TOPOLOGY)
        ledger.attach(broker.courier)
        ledger.commit(Work(events=[submitted()]))
        waiting = asyncio.create_task(broker.receive(QUEUE, limit=10, wait_seconds=600))
        assert await asyncio.to_thread(executor.claimed.wait, 10)
        broker.interrupt()
        executor.go_on.set()
        assert event_ids(await waiting) == [str(submitted().identity)]
        await broker.close()
