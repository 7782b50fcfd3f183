"""What every broker owes its consumers."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.conformance.broker.conftest import LEASE_SECONDS, Ability, Bench, each_broker, event_ids, needs

pytestmark = [pytest.mark.anyio, each_broker]
NAMES = [f"event-{number:02}" for number in range(20)]


class TestRouting:
    async def test_a_topic_reaches_every_queue_bound_to_it_and_no_other(self, bench: Bench) -> None:
        await bench.publish("frames", "a")
        assert event_ids(await bench.take("q.embedding")) == ["a"]
        assert event_ids(await bench.take("q.keypoint")) == ["a"]
        assert await bench.take("q.planner") == []

    async def test_a_message_with_a_queue_goes_there_only(self, bench: Bench) -> None:
        await bench.publish("frames", "replayed", queue="q.keypoint")
        assert await bench.take("q.embedding") == []
        assert event_ids(await bench.take("q.keypoint")) == ["replayed"]

    async def test_a_topic_without_a_queue_reaches_nobody(self, bench: Bench) -> None:
        await bench.publish("job.completed", "a")
        for queue in ("q.embedding", "q.keypoint", "q.planner"):
            assert await bench.take(queue) == []

    async def test_a_message_arrives_as_it_was_sent(self, bench: Bench) -> None:
        await bench.publish("frames", "größe\n\"'", job_id="job-7")
        delivery = await bench.take_one("q.embedding")
        message = delivery.message
        assert (message.event_id, message.job_id, message.topic, message.body, message.is_replay) == (
            "größe\n\"'",
            "job-7",
            "frames",
            '"größe\n"\'"',
            False,
        )
        assert (delivery.queue, delivery.deliveries, delivery.attempts, delivery.is_suspect) == (
            "q.embedding",
            1,
            0,
            False,
        )
        assert delivery.lease_seconds == LEASE_SECONDS


class TestTaking:
    async def test_replicas_share_a_queue(self, bench: Bench) -> None:
        await bench.publish("job", *NAMES)
        takers = [bench.broker.receive("q.planner", limit=3, wait_seconds=0) for _ in range(10)]
        taken = [name for deliveries in await asyncio.gather(*takers) for name in event_ids(deliveries)]
        assert sorted(taken) == NAMES

    async def test_first_attempts_come_in_order_and_no_more_than_asked_for(self, bench: Bench) -> None:
        for name in NAMES:
            await bench.publish("job", name)
        taken: list[str] = []
        for limit in (1, 3, 7, 100):
            names = event_ids(await bench.take("q.planner", limit))
            assert len(names) <= limit
            taken += names
        assert taken == NAMES
        assert await bench.take("q.planner") == []

    async def test_one_that_waits_is_woken_by_a_publication(self, bench: Bench) -> None:
        waiting = asyncio.create_task(bench.broker.receive("q.planner", limit=5, wait_seconds=600))
        await asyncio.sleep(0)
        await bench.publish("job", "a")
        assert event_ids(await waiting) == ["a"]

    async def test_two_that_wait_get_one_each(self, bench: Bench) -> None:
        waiting = [asyncio.create_task(bench.broker.receive("q.planner", limit=1, wait_seconds=600)) for _ in range(2)]
        await asyncio.sleep(0)
        await bench.publish("job", "a", "b")
        taken = [name for deliveries in await asyncio.gather(*waiting) for name in event_ids(deliveries)]
        assert sorted(taken) == ["a", "b"]

    async def test_one_that_waits_can_be_interrupted(self, bench: Bench) -> None:
        waiting = [asyncio.create_task(bench.broker.receive("q.planner", limit=1, wait_seconds=600)) for _ in range(2)]
        await asyncio.sleep(0)
        bench.broker.interrupt()
        assert await asyncio.gather(*waiting) == [[], []]
        await bench.publish("job", "a")
        assert event_ids(await bench.broker.receive("q.planner", limit=1, wait_seconds=600)) == ["a"]

    @pytest.mark.parametrize("turns", [0, *(2**power for power in range(11))])
    async def test_an_interruption_at_any_moment_loses_nothing(self, bench: Bench, turns: int) -> None:
        """What is on its way to the one that waits arrives; what is not stays where it is."""
        await bench.publish("job", "a")
        waiting = asyncio.create_task(bench.broker.receive("q.planner", limit=1, wait_seconds=600))
        for _ in range(turns):
            await asyncio.sleep(0)
        bench.broker.interrupt()
        taken = await waiting or await bench.take("q.planner")
        assert [(delivery.message.event_id, delivery.deliveries) for delivery in taken] == [("a", 1)]

    async def test_nothing_comes_within_the_wait(self, bench: Bench) -> None:
        assert await bench.broker.receive("q.planner", limit=5, wait_seconds=0.01) == []


class TestEnding:
    async def test_an_acknowledged_message_never_comes_again(self, bench: Bench) -> None:
        await bench.publish("job", "a")
        await bench.finish(await bench.take_one("q.planner"))
        bench.clock.advance(LEASE_SECONDS * 10)
        assert await bench.take("q.planner") == []

    async def test_acknowledging_in_one_queue_leaves_the_other(self, bench: Bench) -> None:
        await bench.publish("frames", "a")
        await bench.finish(await bench.take_one("q.embedding"))
        assert event_ids(await bench.take("q.keypoint")) == ["a"]

    @needs(Ability.EXACT_PAUSES)
    async def test_a_retry_comes_after_its_delay_to_its_own_queue_and_counts(self, bench: Bench) -> None:
        await bench.publish("frames", "a")
        await bench.finish(await bench.take_one("q.keypoint"))
        delivery = await bench.take_one("q.embedding")
        for attempt in range(1, 4):
            await delivery.retry(5)
            bench.clock.advance_ms(4_999)
            assert await bench.take("q.embedding") == []
            bench.clock.advance_ms(1)
            delivery = await bench.take_one("q.embedding")
            assert (delivery.attempts, delivery.deliveries, delivery.is_suspect) == (attempt, attempt + 1, False)
            assert await bench.take("q.keypoint") == []

    async def test_one_that_waits_for_a_retry_is_overtaken(self, bench: Bench) -> None:
        await bench.publish("job", "a", "b")
        first, second = await bench.take("q.planner")
        await first.retry(60)
        await second.release()
        assert event_ids(await bench.take("q.planner")) == ["b"]

    async def test_a_released_one_comes_at_once_and_nothing_is_counted(self, bench: Bench) -> None:
        await bench.publish("job", "a", "b")
        first, _ = await bench.take("q.planner")
        await first.release()
        again = await bench.take_one("q.planner")
        assert (again.message.event_id, again.deliveries, again.attempts, again.is_suspect) == ("a", 1, 0, False)


class TestLeases:
    async def test_one_that_ends_hands_the_message_out_again(self, bench: Bench) -> None:
        await bench.publish("job", "a")
        await bench.take_one("q.planner")
        bench.clock.advance(LEASE_SECONDS - 0.001)
        assert await bench.take("q.planner") == []
        bench.clock.advance(0.001)
        again = await bench.take_one("q.planner")
        assert (again.deliveries, again.attempts, again.is_suspect) == (2, 0, True)

    async def test_an_honest_failure_after_a_crash_ends_the_suspicion(self, bench: Bench) -> None:
        await bench.publish("job", "a")
        for attempt in range(1, 4):
            await bench.take_one("q.planner")
            bench.clock.advance(LEASE_SECONDS)
            after_crash = await bench.take_one("q.planner")
            assert after_crash.is_suspect
            await after_crash.retry(0)
            again = await bench.take_one("q.planner")
            assert (again.attempts, again.is_suspect) == (attempt, False)
            await again.release()

    async def test_one_that_is_extended_does_not_end(self, bench: Bench) -> None:
        await bench.publish("job", "a")
        delivery = await bench.take_one("q.planner")
        for _ in range(3):
            bench.clock.advance(LEASE_SECONDS - 1)
            assert await delivery.extend() is True
        assert await bench.take("q.planner") == []
        bench.clock.advance(LEASE_SECONDS)
        assert event_ids(await bench.take("q.planner")) == ["a"]

    async def test_whoever_lost_it_can_do_nothing_to_the_message(self, bench: Bench) -> None:
        await bench.publish("job", "a")
        lost = await bench.take_one("q.planner")
        bench.clock.advance(LEASE_SECONDS)
        held = await bench.take_one("q.planner")
        assert await lost.extend() is False
        await lost.retry(0)
        await lost.release()
        await bench.finish(lost)
        assert await bench.take("q.planner") == []
        assert await held.extend() is True
        await held.retry(0)
        again = await bench.take_one("q.planner")
        assert (again.deliveries, again.attempts) == (2, 1)

    async def test_ending_a_delivery_twice_is_harmless(self, bench: Bench) -> None:
        await bench.publish("job", "a", "b")
        first, second = await bench.take("q.planner")
        await bench.finish(first)
        await bench.finish(first)
        await first.retry(0)
        assert await first.extend() is False
        await second.retry(0)
        await second.retry(0)
        await bench.finish(second)
        again = await bench.take_one("q.planner")
        assert (again.message.event_id, again.attempts) == ("b", 1)


@needs(Ability.LOOKS_INSIDE)
class TestHolds:
    async def test_while_a_message_waits_or_is_in_hand(self, bench: Bench) -> None:
        queues = ["q.embedding", "q.planner"]
        assert await bench.broker.holds("job", queues) is False
        await bench.publish("frames", "a")
        assert await bench.broker.holds("job", queues) is True
        assert await bench.broker.holds("job", ["q.planner"]) is False
        assert await bench.broker.holds("other", queues) is False
        delivery = await bench.take_one("q.embedding")
        assert await bench.broker.holds("job", queues) is True
        await delivery.retry(60)
        assert await bench.broker.holds("job", queues) is True
        bench.clock.advance(60)
        await bench.finish(await bench.take_one("q.embedding"))
        assert await bench.broker.holds("job", queues) is False


class TestDepths:
    """An engine that cannot tell how much is in hand, or since when, says None."""

    async def test_of_every_queue_of_all_jobs(self, bench: Bench) -> None:
        assert {queue: depth.waiting for queue, depth in (await bench.broker.depths()).items()} == {
            "q.embedding": 0,
            "q.keypoint": 0,
            "q.planner": 0,
        }
        await bench.publish("frames", *NAMES)
        await bench.publish("frames", "other", job_id="other")
        await bench.publish("frames", "replayed", queue="q.keypoint")
        depths = await bench.broker.depths()
        assert {queue: depth.waiting for queue, depth in depths.items()} == {
            "q.embedding": 21,
            "q.keypoint": 22,
            "q.planner": 0,
        }
        assert {depth.in_hand for depth in depths.values()} <= {0, None}

    @needs(Ability.EXACT_PAUSES)
    async def test_what_is_taken_waits_no_more_until_it_comes_back(self, bench: Bench) -> None:
        async def depth() -> tuple[int, int | None]:
            found = (await bench.broker.depths())["q.planner"]
            return found.waiting, found.in_hand

        await bench.publish("job", "a", "b", "c")
        first, second = await bench.take("q.planner", 2)
        assert await depth() in [(1, 2), (1, None)]
        await first.release()
        assert await depth() in [(2, 1), (2, None)]
        await second.retry(60)
        assert await depth() in [(3, 0), (3, None)]
        await bench.take("q.planner", 1)
        bench.clock.advance(LEASE_SECONDS)
        assert await depth() in [(3, 0), (2, None)]

    async def test_the_age_is_that_of_the_oldest_that_waits(self, bench: Bench) -> None:
        async def age() -> float | None:
            return (await bench.broker.depths())["q.planner"].oldest_seconds

        if await age() is None:
            return
        assert await age() == 0
        await bench.publish("job", "a")
        bench.clock.advance(10)
        await asyncio.sleep(0.05)  # an engine may go by a clock of its own
        second_came = time.monotonic()
        await bench.publish("job", "b")
        of_first = await age()
        assert of_first is not None
        assert of_first >= 0.05
        first, second = await bench.take("q.planner")
        assert await age() == 0
        await second.release()
        of_second = await age()
        assert of_second is not None
        assert 0 <= of_second <= time.monotonic() - second_came + 0.01
        await first.retry(60)
        assert (await age() or 0) >= of_first
