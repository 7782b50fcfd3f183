"""What only the SQS broker has: copies instead of returns, batches of which a part fails, notifications of buckets, and
queues that are looked up, made or missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from random import Random
from typing import Any

import boto3
import pytest

import reelwork.broker.sqs.broker
from reelwork.broker import Delivery, Depth, Message, Topology
from reelwork.broker.sqs import SqsBroker, post, service
from reelwork.broker.sqs.envelope import MESSAGE_BYTES_MAX, ROOM_BYTES
from reelwork.broker.sqs.names import Names
from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.events import SegmentUploaded
from tests.clock import ManualClock
from tests.conformance.broker.conftest import LEASE_SECONDS, event_ids
from tests.faulty_sqs import Answer, FaultySqs, Forward, NoAnswer, failed, faulty_sqs, refused
from tests.moto import ACCOUNT, CREDENTIALS, REGION, fresh_url, shared_server

pytestmark = pytest.mark.anyio
QUEUE, OTHER, SEGMENTS = "q.frames", "q.other", "q.video_worker.segments"
TOPOLOGY = Topology.of([("frames", QUEUE), ("frames", OTHER), (SegmentUploaded.topic, SEGMENTS)])
WAIT_SECONDS, TRIES_MAX = 20.0, 20
KEY = "segments/job-1/{:05d}_00003_sbs.mp4"


def message(event_id: str, *, queue: str | None = QUEUE, body: str = '{"ä": 1}') -> Message:
    return Message(event_id=event_id, job_id="job", topic="frames", body=body, queue=queue)


def messages(*event_ids: str) -> list[Message]:
    return [message(event_id) for event_id in event_ids]


def numbers(count: int) -> list[str]:
    return [f"{number:05}" for number in range(count)]


@contextlib.asynccontextmanager
async def broker_at(
    url: str, *, topology: Topology = TOPOLOGY, clock: ManualClock | None = None, lease_seconds: float = LEASE_SECONDS
) -> AsyncIterator[SqsBroker]:
    broker = SqsBroker(url, clock=clock, lease_seconds=lease_seconds) if clock else SqsBroker(url)
    try:
        await broker.declare(topology)
        yield broker
    finally:
        await broker.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def url(clock: ManualClock) -> str:
    """Of queues that go by the clock."""
    return fresh_url(clock)


@pytest.fixture
async def broker(url: str, clock: ManualClock) -> AsyncIterator[SqsBroker]:
    async with broker_at(url, clock=clock) as broker:
        yield broker


@pytest.fixture
async def faulty() -> AsyncIterator[FaultySqs]:
    async with faulty_sqs(shared_server().url) as faulty:
        yield faulty


@pytest.fixture
def tries_max() -> int:
    """Of a request that was throttled, or whose connection broke."""
    return 2


@pytest.fixture
async def harried(
    url: str, clock: ManualClock, faulty: FaultySqs, tries_max: int, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SqsBroker]:
    """A broker whose way to SQS can be made to fail."""
    monkeypatch.setattr(service, "TRIES_MAX", tries_max)
    async with broker_at(url.replace(shared_server().url, faulty.url), clock=clock) as broker:
        faulty.asked.clear()
        yield broker
        faulty.spoils.clear()


class Queue:
    """A queue past the broker, in SQS itself."""

    def __init__(self, url: str, queue: str) -> None:
        self.client = boto3.client(
            "sqs",
            region_name=REGION,
            endpoint_url=shared_server().url,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        self.name = Names(url.partition("://")[2].partition("?")[0]).queue(queue)
        self.url = f"{shared_server().url}/{ACCOUNT}/{self.name}"

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def send(self, body: str) -> None:
        self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def received(self) -> list[Any]:
        return self.client.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
        ).get("Messages", [])

    def set(self, **attributes: str) -> None:
        self.client.set_queue_attributes(QueueUrl=self.url, Attributes=attributes)  # type: ignore[arg-type]

    def attribute(self, name: str) -> str:
        told = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        return told[name]  # type: ignore[index,no-any-return]

    def delete(self) -> None:
        self.client.delete_queue(QueueUrl=self.url)


async def take(broker: SqsBroker, limit: int = 1_000, *, queue: str = QUEUE, wait_seconds: float = 0) -> list[Delivery]:
    return await broker.receive(queue, limit=limit, wait_seconds=wait_seconds)


async def take_all(broker: SqsBroker, count: int) -> list[Delivery]:
    """Waits until so many have come."""
    taken: list[Delivery] = []
    while len(taken) < count:
        deliveries = await take(broker, count - len(taken), wait_seconds=WAIT_SECONDS)
        assert deliveries
        taken += deliveries
    return taken


async def persistently(call: Callable[[], Awaitable[object]]) -> None:
    """As the relay does it."""
    for _ in range(TRIES_MAX):
        with contextlib.suppress(StoreUnavailable):
            await call()
            return
    await call()


def told(deliveries: list[Delivery]) -> list[tuple[str, int, int, bool]]:
    return sorted((each.message.event_id, each.deliveries, each.attempts, each.is_suspect) for each in deliveries)


def notification(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", **record} for record in records]})


def record(key: str, *, name: str = "ObjectCreated:Put", sequencer: str = "0A1B") -> dict[str, Any]:
    stored = {"key": key, "size": 12, "eTag": "x", "sequencer": sequencer}
    return {"eventName": name, "s3": {"bucket": {"name": "inputs", "arn": "arn:aws:s3:::inputs"}, "object": stored}}


class TestCopies:
    async def test_what_nobody_has_taken_from_a_process_goes_to_another_and_is_no_suspect(
        self, broker: SqsBroker, url: str, clock: ManualClock
    ) -> None:
        """It was asked for, and then whoever had asked went to do something else."""
        assert await take(broker, 5, wait_seconds=0.01) == []
        await broker.publish(messages("a", "b", "c"))
        async with broker_at(url, clock=clock) as another:
            assert told(await take_all(another, 3)) == [("a", 1, 0, False), ("b", 1, 0, False), ("c", 1, 0, False)]
        assert await take(broker) == []

    async def test_whoever_closes_hands_on_what_was_not_begun(
        self, broker: SqsBroker, url: str, clock: ManualClock
    ) -> None:
        await broker.publish(messages("a", "b", "c"))
        async with broker_at(url, clock=clock) as leaving:
            first, *rest = await take(leaving)
            await first.retry(0)
            (again,) = await take(leaving)
            await leaving.release([again, *rest])
        assert told(await take(broker)) == [("a", 2, 1, False), ("b", 1, 0, False), ("c", 1, 0, False)]

    async def test_what_lay_in_a_process_gets_a_fresh_lease_when_it_is_handed_out(
        self, broker: SqsBroker, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reelwork.broker.sqs.broker, "IDLE_SECONDS_MAX", 86_400.0)
        await broker.publish(messages("a"))
        (delivery,) = await take(broker)
        clock.advance(LEASE_SECONDS - 1)
        await delivery.release()
        (delivery,) = await take(broker)
        clock.advance(LEASE_SECONDS - 1)
        assert await delivery.extend() is True
        await delivery.release()
        clock.advance(LEASE_SECONDS)  # longer than it may lie here: by now it is anybody's
        assert told(await take(broker)) == [("a", 2, 0, True)]

    async def test_a_pause_is_rounded_up_and_no_longer_than_sqs_can_make_it(
        self, broker: SqsBroker, clock: ManualClock
    ) -> None:
        await broker.publish(messages("a"))
        (delivery,) = await take(broker)
        await delivery.retry(1.2)
        clock.advance_ms(1_999)
        assert await take(broker) == []
        clock.advance_ms(1)
        (delivery,) = await take(broker)
        await delivery.retry(100_000)
        clock.advance(900)
        assert told(await take(broker)) == [("a", 3, 2, False)]


class TestTaking:
    async def test_each_goes_to_one_of_many_takers(self, url: str) -> None:
        count = 300
        async with contextlib.AsyncExitStack() as opened:
            brokers = [await opened.enter_async_context(broker_at(url)) for _ in range(3)]
            taken: list[str] = []

            async def consume(broker: SqsBroker, random: Random) -> None:
                while len(taken) < count:
                    deliveries = await take(broker, random.randint(1, 60), wait_seconds=0.2)
                    taken.extend(event_ids(deliveries))
                    await asyncio.gather(broker.extend(deliveries), broker.extend(deliveries[::2]))
                    shuffled = random.sample(deliveries, len(deliveries))
                    await asyncio.gather(broker.ack(shuffled[::2]), broker.ack(shuffled[1::2]))

            taking = [asyncio.create_task(consume(broker, Random(seed))) for seed, broker in enumerate(brokers)]
            await brokers[0].publish(messages(*numbers(count)))
            await asyncio.wait_for(asyncio.gather(*taking), 60)
            assert sorted(taken) == numbers(count)
            assert (await brokers[0].depths())[QUEUE] == Depth(0, 0, None)

    async def test_whoever_stops_waiting_for_an_answer_mixes_up_nobody_elses(self, broker: SqsBroker) -> None:
        await broker.publish(messages(*numbers(10)))
        for turns in range(0, 60, 4):
            asking = asyncio.create_task(take(broker, 3, wait_seconds=turns % 8))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            (answer,) = await asyncio.gather(asking, return_exceptions=True)
            if isinstance(answer, list):  # it was faster
                await broker.release(answer)
        taken = await take_all(broker, 10)
        assert told(taken) == [(name, 1, 0, False) for name in numbers(10)]
        await broker.ack(taken)
        assert await take(broker) == []

    async def test_whoever_is_cut_off_while_more_is_fetched_loses_nothing(
        self, harried: SqsBroker, faulty: FaultySqs
    ) -> None:
        asked_again, may_go_on = asyncio.Event(), asyncio.Event()

        async def spoil(asked: dict[str, Any], forward: Forward) -> Answer:
            if faulty.asked["ReceiveMessage"] > 1:
                asked_again.set()
                await may_go_on.wait()
            return await forward(asked)

        faulty.spoils["ReceiveMessage"] = spoil
        await harried.publish(messages(*numbers(20)))
        taking = asyncio.create_task(take(harried, 20, wait_seconds=WAIT_SECONDS))
        await asked_again.wait()
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        may_go_on.set()
        assert told(await take_all(harried, 20)) == [(name, 1, 0, False) for name in numbers(20)]

    async def test_one_request_waits_for_a_queue_however_often_it_is_asked_for(
        self, harried: SqsBroker, faulty: FaultySqs
    ) -> None:
        for _ in range(10):
            assert await take(harried, wait_seconds=0.02) == []
        assert faulty.asked == {"ReceiveMessage": 1}

    async def test_a_hundred_messages_cost_ten_requests_each_way(self, harried: SqsBroker, faulty: FaultySqs) -> None:
        await harried.publish(messages(*numbers(100)))
        taken = await take(harried, 100, wait_seconds=WAIT_SECONDS)
        await harried.extend(taken)
        await harried.ack(taken)
        assert len(taken) == 100
        assert faulty.asked == {
            "SendMessageBatch": 10,
            "ReceiveMessage": 10,
            "ChangeMessageVisibilityBatch": 10,
            "DeleteMessageBatch": 10,
        }


class TestNotifications:
    async def test_of_a_segment_it_is_the_event_that_the_pipeline_would_have_sent(
        self, broker: SqsBroker, url: str
    ) -> None:
        with Queue(url, SEGMENTS) as queue:
            queue.send(notification(record(KEY.format(1))))
        (delivery,) = await take(broker, queue=SEGMENTS)
        event = SegmentUploaded.of("inputs", KEY.format(1), size=12, sequencer="0A1B")
        assert delivery.message == Message(str(event.event_id), "job-1", event.topic, event.body())
        assert (delivery.deliveries, delivery.attempts) == (1, 0)
        await delivery.retry(0)
        (again,) = await take(broker, queue=SEGMENTS)
        assert (again.message, again.attempts, again.is_suspect) == (delivery.message, 1, False)
        await again.ack()
        assert (await broker.depths())[SEGMENTS] == Depth(0, 0, None)

    async def test_every_record_of_one_is_a_message_and_what_is_no_segment_is_passed_over(
        self, broker: SqsBroker, url: str
    ) -> None:
        with Queue(url, SEGMENTS) as queue:
            queue.send(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "inputs"}))
            queue.send(notification())
            queue.send(notification(record(KEY.format(0), name="ObjectRemoved:Delete")))
            queue.send(notification(record("\ud800\n", name="ObjectRemoved:\ud800")))
            queue.send(notification(record("segments/job-1/../00000_00003_sbs.mp4")))
            queue.send(notification(record("segments/job-1/00003_00003_sbs.mp4")))
            queue.send(notification(*(record(KEY.format(index)) for index in range(3)), record("input/x.mp4")))
            queue.send(notification(record(KEY.format(2).replace("/", "%2F"))))
        taken: list[Delivery] = []
        for _ in range(3):
            taken += await take(broker, queue=SEGMENTS)
        expected = [SegmentUploaded.of("inputs", KEY.format(i), size=12, sequencer="0A1B") for i in (0, 1, 2, 2)]
        assert sorted(event_ids(taken)) == sorted(str(event.event_id) for event in expected)
        await broker.ack(taken)
        assert (await broker.depths())[SEGMENTS] == Depth(0, 0, None)

    async def test_a_broken_record_fails_without_its_neighbours(self, broker: SqsBroker, url: str) -> None:
        broken = {"eventName": "ObjectCreated:Put", "s3": {"object": {"key": KEY.format(1)}}}
        with Queue(url, SEGMENTS) as queue:
            queue.send(json.dumps({"Records": [record(KEY.format(0)), broken, 1, record(KEY.format(2))]}))
        taken: list[Delivery] = []
        for _ in range(2):
            taken += await take(broker, queue=SEGMENTS)
        sound = [SegmentUploaded.of("inputs", KEY.format(i), size=12, sequencer="0A1B") for i in (0, 2)]
        assert sorted(event_ids(taken)) == sorted(["", *(str(event.event_id) for event in sound)])
        (message,) = (delivery.message for delivery in taken if not delivery.message.event_id)
        assert (message.topic, json.loads(message.body)) == (SegmentUploaded.topic, {"Records": [broken, 1]})

    async def test_what_is_none_fails_by_itself(self, broker: SqsBroker, url: str) -> None:
        bodies = ["segment", "[]", "[" * 100_000, '{"Records": 1}', '{"Records": [1]}', notification({"s3": {}}), "{}"]
        with Queue(url, SEGMENTS) as queue, Queue(url, QUEUE) as other:
            for body in bodies:
                queue.send(body)
                other.send(body)
        for name, topic in ((SEGMENTS, SegmentUploaded.topic), (QUEUE, "frames")):
            taken = await take(broker, queue=name)
            assert [delivery.message for delivery in taken] == [Message("", "", topic, body) for body in bodies]
            await broker.ack(taken)
        assert {depth.waiting for depth in (await broker.depths()).values()} == {0}


class TestQueues:
    async def test_whoever_only_looks_makes_nothing(self, url: str) -> None:
        onlooker = SqsBroker(url)
        onlooker.topology = TOPOLOGY
        await onlooker.ping()
        nothing = Depth(0, None, None)
        assert await onlooker.depths() == {QUEUE: nothing, OTHER: nothing, SEGMENTS: nothing}
        assert await onlooker.given_up(limit=10) == []
        await onlooker.close()
        with Queue(url, QUEUE) as queue:
            assert queue.client.list_queues(QueueNamePrefix=queue.name).get("QueueUrls", []) == []

    async def test_those_that_are_missing_are_named_with_what_to_do(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match=r"has no queue test\d+-q-frames, .*template.yaml.*create=yes"):
            async with broker_at(url.replace("&create=yes", "")):
                pass

    async def test_what_is_addressed_to_one_that_nobody_has_any_more_keeps_no_other_waiting(
        self, broker: SqsBroker, url: str
    ) -> None:
        """A dead letter of a service that is gone was replayed."""
        async with broker_at(url.replace("&create=yes", "")) as careful:
            await careful.publish([message("a", queue="q.gone"), message("b")])
        assert event_ids(await take(broker)) == ["b"]

    async def test_one_may_have_a_name_of_its_own(self, broker: SqsBroker, url: str) -> None:
        with Queue(url, QUEUE) as queue:
            own = queue.client.create_queue(QueueName=f"{queue.name}-of-its-own")["QueueUrl"]
        named = SqsBroker(url, queue_urls={QUEUE: own})
        await named.declare(TOPOLOGY)
        await named.publish([message("a", queue=None)])
        assert await take(broker) == []
        assert event_ids(await take(broker, queue=OTHER)) == ["a"]
        assert event_ids(await take(named)) == ["a"]
        await named.close()

    async def test_it_can_be_seen_there_what_a_message_is(self, broker: SqsBroker, url: str) -> None:
        broker.trace_context = lambda message: f"of {message.event_id}"
        await broker.publish([message("a", queue=None)])
        (delivery,) = await take(broker)
        await delivery.retry(0)
        with Queue(url, QUEUE) as queue:
            (found,) = queue.received()
        assert json.loads(found["Body"]) == {"ä": 1}
        assert {name: value["StringValue"] for name, value in found["MessageAttributes"].items()} == {
            "event_id": "a",
            "job_id": "job",
            "topic": "frames",
            "attempts": "1",
            "earlier_deliveries": "1",
            "traceparent": "of a",
        }

    async def test_one_that_was_deleted_is_made_again(self, broker: SqsBroker, url: str) -> None:
        assert await take(broker, queue=OTHER) == []
        for name in (QUEUE, OTHER):
            with Queue(url, name) as queue:
                queue.delete()
        await broker.publish([message("a", queue=QUEUE)])
        assert event_ids(await take(broker)) == ["a"]
        with pytest.raises(StoreUnavailable, match="no such queue"):
            await take(broker, queue=OTHER, wait_seconds=WAIT_SECONDS)
        await broker.publish([message("b", queue=OTHER)])
        assert event_ids(await take(broker, queue=OTHER)) == ["b"]

    async def test_what_sqs_gave_up_on_is_told_once_and_can_be_ended(
        self, broker: SqsBroker, url: str, clock: ManualClock
    ) -> None:
        with Queue(url, QUEUE) as queue:
            policy = json.loads(queue.attribute("RedrivePolicy"))
            assert policy["maxReceiveCount"] == 100
            queue.set(RedrivePolicy=json.dumps({**policy, "maxReceiveCount": 2}))
        await broker.publish(messages("a"))
        for _ in range(2):
            await take(broker)
            clock.advance(LEASE_SECONDS)
        assert await take(broker) == []
        (dead,) = await broker.given_up(limit=10)
        assert (dead.queue, dead.message.event_id, dead.is_suspect) == (QUEUE, "a", True)
        assert await broker.given_up(limit=10) == []
        await dead.ack()
        with Queue(url, QUEUE) as queue:
            queue.url += "-dlq"
            assert queue.attribute("ApproximateNumberOfMessagesNotVisible") == "0"


class TestFaults:
    async def test_a_part_of_a_batch_that_was_not_sent_is_sent_again(
        self, harried: SqsBroker, faulty: FaultySqs
    ) -> None:
        async def spoil(asked: dict[str, Any], forward: Forward) -> Answer:
            left = [asked["Entries"].pop(3), asked["Entries"].pop(0)] if faulty.asked["SendMessageBatch"] == 1 else []
            status, answer = await forward(asked)
            return status, {**answer, "Failed": [failed(entry, "InternalError") for entry in left]}

        faulty.spoils["SendMessageBatch"] = spoil
        await harried.publish(messages(*numbers(10)))
        assert sorted(event_ids(await take(harried))) == numbers(10)
        assert faulty.asked["SendMessageBatch"] == 2

    @pytest.mark.parametrize("is_senders", [True, False])
    async def test_one_that_is_never_sent_is_told_of(
        self, harried: SqsBroker, faulty: FaultySqs, is_senders: bool
    ) -> None:
        async def spoil(asked: dict[str, Any], forward: Forward) -> Answer:
            last = asked["Entries"].pop()
            status, answer = await forward(asked) if asked["Entries"] else (200, {"Successful": []})
            return status, {**answer, "Failed": [failed(last, "Broken", is_senders=is_senders)]}

        faulty.spoils["SendMessageBatch"] = spoil
        with pytest.raises(StoreUnavailable, match="Broken"):
            await harried.publish(messages("a", "b"))
        assert faulty.asked["SendMessageBatch"] == (1 if is_senders else 3)

    async def test_a_part_of_a_batch_that_was_not_deleted_is_deleted_again(
        self, harried: SqsBroker, faulty: FaultySqs, clock: ManualClock
    ) -> None:
        async def spoil(asked: dict[str, Any], forward: Forward) -> Answer:
            left = asked["Entries"].pop()
            status, answer = await forward(asked) if asked["Entries"] else (200, {"Successful": []})
            return status, {**answer, "Failed": [failed(left, "InternalError")]}

        await harried.publish(messages("a", "b"))
        taken = await take(harried)
        faulty.spoils["DeleteMessageBatch"] = spoil
        with pytest.raises(StoreUnavailable, match="not seen to 1 messages of a batch: InternalError"):
            await harried.ack(taken)
        faulty.spoils.clear()
        assert [await each.extend() for each in taken].count(True) == 1
        await harried.ack(taken)
        clock.advance(LEASE_SECONDS)
        assert await take(harried) == []

    async def test_whose_receipt_is_stale_has_lost_the_message(
        self, harried: SqsBroker, faulty: FaultySqs, clock: ManualClock
    ) -> None:
        """Its time at SQS was over before it was here."""

        async def spoil(asked: dict[str, Any], _: Forward) -> Answer:
            stale = [failed(entry, "ReceiptHandleIsInvalid", is_senders=True) for entry in asked["Entries"]]
            return 200, {"Successful": [], "Failed": stale}

        await harried.publish(messages("a"))
        (delivery,) = await take(harried)
        faulty.spoils["ChangeMessageVisibilityBatch"] = spoil
        assert await delivery.extend() is False
        faulty.asked.clear()
        await delivery.retry(0)
        await delivery.release()
        await delivery.ack()
        assert not faulty.asked
        clock.advance(LEASE_SECONDS)
        assert told(await take(harried)) == [("a", 2, 0, True)]

    async def test_throttling_costs_time_and_then_an_error(self, harried: SqsBroker, faulty: FaultySqs) -> None:
        async def spoil_first(asked: dict[str, Any], forward: Forward) -> Answer:
            return refused("RequestThrottled") if faulty.asked["SendMessageBatch"] == 1 else await forward(asked)

        async def spoil(*_: object) -> Answer:
            return refused("RequestThrottled")

        faulty.spoils["SendMessageBatch"] = spoil_first
        await harried.publish(messages("a"))
        faulty.spoils["ReceiveMessage"] = spoil
        for wait_seconds in (0, WAIT_SECONDS):
            with pytest.raises(StoreUnavailable, match="refuses: RequestThrottled"):
                await take(harried, wait_seconds=wait_seconds)
        faulty.spoils.clear()
        assert event_ids(await take(harried, wait_seconds=WAIT_SECONDS)) == ["a"]

    async def test_an_answer_that_is_lost_costs_a_copy_or_a_lease(
        self, harried: SqsBroker, faulty: FaultySqs, clock: ManualClock
    ) -> None:
        async def spoil(asked: dict[str, Any], forward: Forward) -> Answer:
            answer = await forward(asked)
            if faulty.asked.total() == 1:
                raise NoAnswer
            return answer

        faulty.spoils["SendMessageBatch"] = faulty.spoils["ReceiveMessage"] = spoil
        await harried.publish(messages("a"))
        faulty.asked.clear()
        assert await take(harried, wait_seconds=0) == []
        clock.advance(LEASE_SECONDS)
        taken = await take(harried)
        assert told(taken) == [("a", 2, 0, True), ("a", 2, 0, True)]
        await harried.ack(taken)
        assert (await harried.depths())[QUEUE].waiting == 0

    @pytest.mark.parametrize(("seed", "tries_max"), [(0, 1)])
    async def test_whatever_fails_nothing_is_lost(
        self, harried: SqsBroker, faulty: FaultySqs, clock: ManualClock, seed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(post, "ENTRY_PAUSES_SECONDS", (0.001, 0.001))
        random = Random(seed)

        async def spoil(asked: dict[str, Any], forward: Forward) -> Answer:
            fate = random.random()
            if fate < 0.05:
                return refused("RequestThrottled")
            entries = asked.get("Entries", [])
            left = [entry for entry in entries if fate < 0.2 and random.random() < 0.5]
            asked = {**asked, "Entries": [entry for entry in entries if entry not in left]} if entries else asked
            status, answer = await forward(asked) if asked.get("Entries", [1]) else (200, {"Successful": []})
            if fate > 0.95:
                raise NoAnswer
            answer["Failed"] = [failed(entry, "InternalError") for entry in left] if left else answer.get("Failed", [])
            return status, answer

        for action in ("SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"):
            faulty.spoils[action] = spoil
        names = numbers(60)
        for first in range(0, 60, 20):
            await persistently(partial(harried.publish, messages(*names[first : first + 20])))
        seen, ended = set[str](), set[str]()
        for _ in range(60):
            with contextlib.suppress(StoreUnavailable):
                taken = await take(harried, random.randint(1, 30), wait_seconds=random.choice([0, 0.01]))
                seen.update(event_ids(taken))
                for share, end in ((0.3, harried.release), (0.3, harried.extend), (0.5, harried.ack)):
                    some = [delivery for delivery in taken if random.random() < share]
                    if end == harried.ack:  # it may be done although it fails
                        ended.update(event_ids(some))
                    await end(some)
                for delivery in taken[::7]:
                    await delivery.retry(random.choice([0, 5]))
            clock.advance(random.choice([0, 1, 5, LEASE_SECONDS]))
        faulty.spoils.clear()
        left = set[str]()
        for _ in range(10):
            clock.advance(LEASE_SECONDS)
            taken = await take(harried)
            left.update(event_ids(taken))
            await harried.ack(taken)
        assert seen | left == set(names)
        assert ended | left == set(names)
        assert len(ended) > 20
        assert (await harried.depths())[QUEUE] == Depth(0, 0, None)

    async def test_what_is_denied_is_told_with_what_to_do(self, harried: SqsBroker, faulty: FaultySqs) -> None:
        async def spoil(*_: object) -> Answer:
            return refused("AccessDeniedException")

        faulty.spoils["GetQueueUrl"] = spoil
        with pytest.raises(ConfigurationError, match="refuses what is needed of it: so it is"):
            await harried.declare(Topology.of([("frames", "q.more")]))

    async def test_one_that_is_away_costs_an_error(
        self, url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "TRIES_MAX", 1)
        async with faulty_sqs(shared_server().url) as faulty:
            broker = SqsBroker(url.replace(shared_server().url, faulty.url), clock=clock)
            await broker.declare(TOPOLOGY)
            await broker.publish(messages("a"))
            (held,) = await take(broker)
        for call in (broker.publish(messages("b")), take(broker), broker.depths(), broker.ping(), held.ack()):
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await call
        await broker.close()


class TestSizes:
    async def test_what_is_too_large_comes_without_its_body_and_says_why(self, broker: SqsBroker) -> None:
        await broker.publish([message("large", body=json.dumps("ä" * 600_000)), message("small")])
        bodies = {each.message.event_id: each.message.body for each in await take(broker)}
        assert "bytes with its attributes, and SQS carries at most 1048576" in json.loads(bodies["large"])["error"]
        assert bodies["small"] == '{"ä": 1}'

    @pytest.mark.filterwarnings("ignore:Sending a large body directly")
    async def test_what_just_fits_also_fits_when_it_is_tried_again(self, broker: SqsBroker) -> None:
        body = json.dumps("x" * (MESSAGE_BYTES_MAX - ROOM_BYTES - 80))
        await broker.publish([message("a", body=body)])
        for _ in range(3):
            (delivery,) = await take(broker)
            assert delivery.message.body == body
            await delivery.retry(0)

    async def test_no_request_carries_more_than_it_may(self, harried: SqsBroker, faulty: FaultySqs) -> None:
        body = json.dumps("x" * 300_000)
        await harried.publish([message(name, body=body) for name in numbers(7)])
        assert faulty.asked["SendMessageBatch"] == 3
        assert sorted(event_ids(await take(harried))) == numbers(7)

    async def test_signs_that_sqs_does_not_carry_come_as_json_writes_them(self, broker: SqsBroker) -> None:
        body = '{"a": "\ufffe\x7f\U0001f3ac"}'
        await broker.publish([message("a\x01", body=body)])
        (delivery,) = await take(broker)
        assert json.loads(delivery.message.body) == json.loads(body)
        assert delivery.message.event_id == "a\ufffd"


class TestRefused:
    async def test_without_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (*CREDENTIALS, "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        with pytest.raises(ConfigurationError, match=r"needs credentials of AWS .*AWS_ACCESS_KEY_ID"):
            async with broker_at(f"sqs://x?region={REGION}&endpoint={shared_server().url}"):
                pass

    async def test_without_a_region(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        with pytest.raises(ConfigurationError, match=r"needs a region: set AWS_REGION, or \?region="):
            async with broker_at("sqs://x"):
                pass

    async def test_handlers_that_take_longer_than_a_message_can_be_kept(self, broker: SqsBroker) -> None:
        broker.check_handling(43_199)
        with pytest.raises(ConfigurationError, match="hands a message out again after 43200 s"):
            broker.check_handling(43_200)
