"""What becomes of one delivery of a plain event: effects and acknowledgement together, a retry, or a dead letter."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from reelwork.broker import MemoryBroker
from reelwork.broker.sql import SqlDelivery
from reelwork.errors import JobTransitionRefused, PermanentError, StoreUnavailable
from reelwork.ledger import JobMove, JobStatus, Work
from reelwork.message import Message
from reelwork.runtime import Context
from reelwork.runtime.handling import RETRY_SECONDS_MAX, RETRY_SECONDS_MIN
from reelwork.runtime.outcome import HandlerTimeout
from tests.house import PLANS, House, Next, Submitted, open_house, plain_service, run

Failures = list[Exception | None]


def next_of(context: Context) -> Next:
    return Next(job_id=context.job.job_id)


def failing(*failures: Exception | None) -> tuple[Any, list[int]]:
    """A handler that starts its job after it has failed in each of these ways, and the number of its calls."""
    calls: list[int] = []
    todo = list(failures)

    def handle(_event: Any, context: Context) -> None:
        calls.append(len(calls))
        context.start_job()
        context.emit(next_of(context))
        failure = todo.pop(0) if todo else None
        if failure is not None:
            raise failure

    return handle, calls


async def cancel(house: House, job_id: str) -> None:
    await asyncio.to_thread(house.jobs.cancel, job_id)


class TestEffects:
    @pytest.mark.parametrize("in_memory", [False, True])
    def test_moves_events_inbox_and_ack_are_one(self, tmp_path: Path, in_memory: bool) -> None:
        async def test() -> None:
            handle, calls = failing()
            async with open_house(tmp_path, plain_service(handle), in_memory=in_memory) as house:
                job_id = house.submit()
                delivery = await house.take_one(PLANS)
                await house.handle(delivery)
                assert (house.job(job_id).status, house.job(job_id).phase) == (JobStatus.RUNNING, "work")
                assert house.topics(job_id) == ["tiny.submitted", "tiny.next"]
                event_id = delivery.message.event_id
                assert house.backends.ledger.consumers([event_id]) == {event_id: {PLANS: house.clock.now_ms}}
                assert not await house.broker.holds(job_id, [PLANS])
                assert calls == [0]

        run(test())

    def test_nothing_happens_of_a_handler_that_raises(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, _ = failing(OSError("no network"))
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.submit()
                await house.settle()
                assert house.job(job_id).status is JobStatus.PENDING
                assert house.topics(job_id) == ["tiny.submitted"]
                assert await house.broker.holds(job_id, [PLANS])

        run(test())

    def test_a_copy_of_a_message_acts_once(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, calls = failing()
            async with open_house(tmp_path, plain_service(handle), in_memory=True) as house:
                job_id = house.submit()
                first = await house.take_one(PLANS)
                await house.broker.publish([first.message])
                second = await house.take_one(PLANS)
                await asyncio.gather(house.handle(first), house.handle(second))
                await house.broker.publish([first.message])
                await house.settle()
                assert house.topics(job_id) == ["tiny.submitted", "tiny.next"]
                assert len(calls) <= 2, "the third copy came after the inbox had the first"

        run(test())

    def test_a_copy_that_fails_does_not_fail_what_succeeded(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, _ = failing(None, PermanentError("the input is gone"))
            async with open_house(tmp_path, plain_service(handle), in_memory=True) as house:
                job_id = house.submit()
                first = await house.take_one(PLANS)
                await house.broker.publish([first.message])
                await house.handle(first)
                await house.run_dry()
                assert house.job(job_id).status is JobStatus.RUNNING
                assert house.letters() == []

        run(test())

    def test_a_copy_that_fails_later_does_not_fail_what_succeeded_meanwhile(self, tmp_path: Path) -> None:
        """Both began before either ended; a replay, which comes for what was consumed, may still fail."""
        handle, _ = failing()

        async def test() -> None:
            async def plan(event: Any, context: Context) -> None:
                if slow_may_end.is_set() or at_work.is_set():
                    handle(event, context)
                    return
                at_work.set()
                await slow_may_end.wait()
                raise PermanentError("the input is gone")

            at_work, slow_may_end = asyncio.Event(), asyncio.Event()
            async with open_house(tmp_path, plain_service(plan), in_memory=True) as house:
                job_id = house.submit()
                slow = await house.take_one(PLANS)
                await house.broker.publish([slow.message])
                failing_copy = asyncio.create_task(house.handle(slow))
                await at_work.wait()
                await house.handle(await house.take_one(PLANS))
                slow_may_end.set()
                await failing_copy
                assert (house.job(job_id).status, house.letters()) == (JobStatus.RUNNING, [])
                assert house.topics(job_id) == ["tiny.submitted", "tiny.next"]
                assert not await house.broker.holds(job_id, [PLANS])

        run(test())

    def test_a_coroutine_is_a_handler_too(self, tmp_path: Path) -> None:
        async def handle(_event: Submitted, context: Context) -> None:
            await asyncio.sleep(0)
            context.complete_job(output_path="key")

        async def test() -> None:
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.start()
                house.commit(Work(events=[Submitted(job_id=job_id)]))
                await house.settle()
                assert (house.job(job_id).status, house.job(job_id).output_path) == (JobStatus.COMPLETED, "key")
                assert house.topics(job_id) == ["tiny.submitted", "job.completed"]

        run(test())


class TestFailures:
    def test_a_transient_error_comes_back_to_its_own_queue_after_a_pause(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, calls = failing(OSError("no network"), OSError("no network"))
            other, others = failing()
            service = plain_service(handle)
            service.on(Submitted, queue="q.other")(other)
            async with open_house(tmp_path, service) as house:
                job_id = house.submit()
                for attempt in range(3):
                    delivery = await house.take_one(PLANS)
                    assert (delivery.attempts, delivery.deliveries) == (attempt, attempt + 1)
                    assert not delivery.is_suspect
                    await house.handle(delivery)
                    house.clock.advance(RETRY_SECONDS_MIN - 0.001)
                    assert await house.take(PLANS) == []
                    house.clock.advance(RETRY_SECONDS_MAX)
                await house.settle()
                assert (calls, others) == ([0, 1, 2], [0])
                assert house.job(job_id).status is JobStatus.RUNNING

        run(test())

    def test_pauses_are_of_the_injected_random(self, tmp_path: Path) -> None:
        async def pauses(folder: Path, seed: int) -> list[int]:
            handle, _ = failing(*[OSError("no network")] * 4)
            async with open_house(folder, plain_service(handle), seed=seed) as house:
                house.submit()
                times = []
                for _ in range(4):
                    await house.handle(await house.take_one(PLANS))
                    row = house.backends.ledger.database.read("SELECT min(visible_at) FROM messages")  # type: ignore[attr-defined]
                    times.append(row[0] - house.clock.now_ms)
                    house.clock.now_ms = row[0]
                return times

        first, again, other = (run(pauses(tmp_path / str(n), seed)) for n, seed in enumerate([1, 1, 2]))
        assert first == again != other
        assert all(pause <= 1000 * 2**attempt for attempt, pause in enumerate(first, 1))

    def test_the_fifth_failure_is_the_last(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, calls = failing(*[OSError("no network")] * 99)
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.submit()
                await house.run_dry()
                job = house.job(job_id)
                assert len(calls) == 5
                assert (job.status, job.error_message) == (JobStatus.FAILED, "plans: OSError: no network")
                (letter,) = house.letters(job_id)
                assert (letter.queue, letter.attempts, letter.error) == (PLANS, 5, "OSError: no network")
                assert house.topics(job_id) == ["tiny.submitted", "job.failed"]
                assert not await house.broker.holds(job_id, [PLANS])

        run(test())

    def test_a_permanent_error_is_the_last_at_once(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, calls = failing(PermanentError("this is no video"))
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.submit()
                await house.run_dry()
                assert len(calls) == 1
                assert house.job(job_id).error_message == "plans: this is no video"
                assert [letter.attempts for letter in house.letters()] == [1]

        run(test())

    @pytest.mark.parametrize(
        ("topic", "body", "error"),
        [
            ("tiny.submitted", '{"job_id": "%s", "surprise": 1}', "surprise: Extra inputs"),
            ("tiny.submitted", "{", "tiny.submitted: body"),
            ("tiny.next", '{"job_id": "%s"}', "q.tiny.plans takes tiny.submitted, not tiny.next"),
            ("tiny.nobody.knows", "{}", "q.tiny.plans takes tiny.submitted, not tiny.nobody.knows"),
        ],
    )
    def test_a_broken_contract_is_the_last_at_once(self, tmp_path: Path, topic: str, body: str, error: str) -> None:
        async def test() -> None:
            handle, calls = failing()
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.submit()
                await house.settle()
                text = body.replace("%s", job_id)
                message = Message(event_id="other", job_id=job_id, topic=topic, body=text, queue=PLANS)
                await house.broker.publish([message])
                await house.settle()
                assert len(calls) == 1
                (letter,) = house.letters(job_id)
                assert (letter.topic, letter.body) == (topic, text)
                assert error in letter.error
                assert house.job(job_id).status is JobStatus.FAILED

        run(test())

    def test_a_dead_letter_does_not_fail_a_job_that_is_over(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, _ = failing(PermanentError("too late"))
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.start()
                house.commit(Work(events=[Submitted(job_id=job_id)]))
                allowed = frozenset({JobStatus.RUNNING})
                house.commit(Work(moves=[JobMove(job_id=job_id, allowed=allowed, to=JobStatus.COMPLETED)]))
                await house.run_dry()
                assert house.job(job_id).status is JobStatus.COMPLETED
                assert house.topics(job_id) == ["tiny.submitted"], "no job.failed of a completed job"
                assert len(house.letters(job_id)) == 1

        run(test())

    @pytest.mark.parametrize("in_memory", [False, True])
    @pytest.mark.parametrize("is_replay", [False, True])
    def test_a_dead_letter_that_nobody_heard_of_is_not_doubled(
        self, tmp_path: Path, in_memory: bool, is_replay: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was recorded, and the answer got lost: whoever has the message next gives it up as well."""

        async def test() -> None:
            handle, _ = failing(*[PermanentError("this is no video")] * 3)
            async with open_house(tmp_path, plain_service(handle), in_memory=in_memory) as house:
                job_id = house.submit()
                if is_replay:
                    await house.settle()
                    house.replay(job_id)
                delivery = await house.take_one(PLANS)
                commit_all = house.backends.ledger.commit_all

                def commit_unheard(works: Sequence[Work]) -> list[Exception]:
                    commit_all(works)
                    return [StoreUnavailable("the connection was lost at the commit")] * len(works)

                monkeypatch.setattr(house.backends.ledger, "commit_all", commit_unheard)
                with pytest.raises(StoreUnavailable):
                    await house.handle(delivery)
                monkeypatch.undo()
                await house.crash(delivery)
                await house.run_dry()
                assert len(house.letters(job_id)) == 1 + is_replay
                assert house.job(job_id).status is JobStatus.FAILED
                assert house.topics(job_id).count("job.failed") == 1 + is_replay

        run(test())

    def test_a_message_without_a_job_ends_as_a_dead_letter(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, calls = failing()
            async with open_house(tmp_path, plain_service(handle)) as house:
                house.commit(Work(events=[Submitted(job_id="nobody")]))
                await house.run_dry()
                assert calls == []
                assert [letter.error for letter in house.letters("nobody")] == ["no job has the id nobody"]

        run(test())

    @pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), KeyboardInterrupt()])
    @pytest.mark.parametrize("is_coroutine", [False, True])
    def test_a_handler_cannot_end_its_worker(self, tmp_path: Path, error: BaseException, is_coroutine: bool) -> None:
        calls = []

        def handle(_event: Any, _context: Context) -> None:
            calls.append(1)
            raise error

        async def handle_inline(event: Any, context: Context) -> None:
            handle(event, context)

        async def test() -> None:
            async with open_house(tmp_path, plain_service(handle_inline if is_coroutine else handle)) as house:
                job_id = house.submit()
                await house.run_dry()
                assert len(calls) == 5
                assert f"the handler left with {type(error).__name__}" in str(house.job(job_id).error_message)

        run(test())


class TestReplay:
    def test_goes_to_its_own_queue_and_brings_the_job_back(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, _ = failing(PermanentError("disk full"))
            other, others = failing()
            deaf = plain_service(handle)
            deaf.on(Submitted, queue="q.other")(other)
            async with open_house(tmp_path, deaf) as house:
                job_id = house.submit()
                await house.settle(PLANS)
                assert house.job(job_id).status is JobStatus.FAILED
                house.replay(job_id)
                assert house.job(job_id).status is JobStatus.RUNNING
                delivery = await house.take_one(PLANS)
                assert delivery.message.is_replay
                await house.handle(delivery)
                assert (house.job(job_id).status, house.job(job_id).phase) == (JobStatus.RUNNING, "work")
                assert not house.job(job_id).error_message
                await house.settle("q.other")
                assert len(others) == 1

        run(test())

    def test_that_fails_again_is_a_new_letter(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, calls = failing(*[PermanentError("disk full")] * 2)
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.submit()
                await house.run_dry()
                house.replay(job_id)
                await house.run_dry()
                assert len(calls) == 2
                assert house.job(job_id).status is JobStatus.FAILED
                assert [letter.replayed_at is None for letter in house.letters(job_id)] == [False, True]
                assert house.topics(job_id).count("job.failed") == 2
                house.replay(job_id)
                await house.run_dry()
                assert house.job(job_id).status is JobStatus.RUNNING

        run(test())

    def test_what_a_failed_job_refused_can_be_replayed_with_it(self, tmp_path: Path) -> None:
        """Otherwise the inbox would drop it then, and the job would run for ever."""

        def finish(_event: Any, context: Context) -> None:
            context.complete_job(output_path="key")

        async def test() -> None:
            handle, _ = failing(PermanentError("disk full"))
            service = plain_service(handle)
            service.on(Next, queue="q.next")(finish)
            async with open_house(tmp_path, service) as house:
                job_id = house.submit()
                await house.settle()
                house.commit(Work(events=[Next(job_id=job_id)]))
                await house.run_dry()
                assert [letter.queue for letter in house.letters(job_id)] == [PLANS, "q.next"]
                house.replay(job_id)
                await house.run_dry()
                assert house.job(job_id).status is JobStatus.COMPLETED

        run(test())


class TestCancelledJobs:
    def test_their_messages_are_dropped_before_work(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, calls = failing()
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.submit()
                await cancel(house, job_id)
                await house.settle()
                assert calls == []
                assert not await house.broker.holds(job_id, [PLANS])
                assert house.topics(job_id) == ["tiny.submitted", "job.cancelled"]

        run(test())

    @pytest.mark.parametrize("starts", [True, False])
    def test_their_work_is_dropped_in_the_commit(self, tmp_path: Path, starts: bool) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def handle(_event: Any, context: Context) -> None:
            begun.set()
            assert go_on.wait(10)
            if starts:
                context.start_job()
            context.emit(next_of(context))

        async def test() -> None:
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.submit()
                working = asyncio.create_task(house.handle(await house.take_one(PLANS)))
                assert await asyncio.to_thread(begun.wait, 10)
                await cancel(house, job_id)
                go_on.set()
                await working
                assert house.job(job_id).status is JobStatus.CANCELLED
                assert house.topics(job_id) == ["tiny.submitted", "job.cancelled"]
                assert not await house.broker.holds(job_id, [PLANS])
                assert house.letters() == []

        run(test())

    def test_long_work_hears_of_it(self, tmp_path: Path) -> None:
        begun = threading.Event()

        def handle(_event: Any, context: Context) -> None:
            begun.set()
            assert context.cancelled.wait(10)
            context.raise_if_cancelled()

        async def test() -> None:
            async with open_house(tmp_path, plain_service(handle), REELWORK_LEASE_SECONDS=0.03) as house:
                job_id = house.submit()
                working = asyncio.create_task(house.handle(await house.take_one(PLANS)))
                assert await asyncio.to_thread(begun.wait, 10)
                await cancel(house, job_id)
                await working
                assert not await house.broker.holds(job_id, [PLANS])

        run(test())


class TestLeases:
    def test_who_lost_the_lease_does_not_bury_the_message(self, tmp_path: Path) -> None:
        """A worker that slept too long fails; the one that has the message now succeeds, and its word counts."""
        slow_fails = threading.Event()

        def handle(_event: Any, context: Context) -> None:
            if not slow_fails.is_set():
                slow_fails.set()
                raise PermanentError("I was asleep")
            context.start_job()

        async def test() -> None:
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.submit()
                slow = await house.take_one(PLANS)
                await house.crash(slow)
                quick = await house.take_one(PLANS)
                await house.handle(slow)
                assert house.letters() == []
                await house.handle(quick)
                assert house.job(job_id).status is JobStatus.RUNNING

        run(test())

    def test_who_lost_the_lease_does_not_retry_or_ack_for_the_other(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, _ = failing(OSError("no network"))
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.submit()
                slow = await house.take_one(PLANS)
                await house.crash(slow)
                quick = await house.take_one(PLANS)
                await house.handle(slow)
                assert await house.take(PLANS) == []
                await house.handle(quick)
                await house.run_dry()
                assert house.topics(job_id) == ["tiny.submitted", "tiny.next"]

        run(test())

    def test_is_renewed_while_the_handler_works(self, tmp_path: Path) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def handle(_event: Any, _context: Context) -> None:
            begun.set()
            assert go_on.wait(10)

        async def test() -> None:
            async with open_house(tmp_path, plain_service(handle), REELWORK_LEASE_SECONDS=0.03) as house:
                house.submit()
                working = asyncio.create_task(house.handle(await house.take_one(PLANS)))
                assert await asyncio.to_thread(begun.wait, 10)
                query = "SELECT visible_at FROM messages"
                read = house.backends.ledger.database.read  # type: ignore[attr-defined]
                for _ in range(3):
                    house.clock.advance(1)
                    while read(query)[0] <= house.clock.now_ms:
                        await asyncio.sleep(0)
                go_on.set()
                await working
                assert read(query) is None

        run(test())


class TestCrashes:
    def test_the_third_death_is_the_last(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, calls = failing()
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.submit()
                for _ in range(3):
                    await house.crash(await house.take_one(PLANS))
                await house.settle()
                assert calls == []
                assert house.job(job_id).error_message == "plans: its worker died 3 times while handling it"

        run(test())

    def test_two_deaths_and_four_failures_are_survived(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, calls = failing(*[OSError("no network")] * 4)
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.submit()
                for _ in range(2):
                    await house.crash(await house.take_one(PLANS))
                await house.run_dry()
                assert len(calls) == 5
                assert house.job(job_id).status is JobStatus.RUNNING

        run(test())

    def test_after_the_commit_and_before_the_ack_changes_nothing(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, calls = failing()
            async with open_house(tmp_path, plain_service(handle), in_memory=True) as house:
                job_id = house.submit()
                delivery = await house.take_one(PLANS)
                await house.broker.publish([delivery.message])
                await house.handle(delivery)
                await house.run_dry()
                assert len(calls) == 1
                assert house.topics(job_id) == ["tiny.submitted", "tiny.next"]
                assert isinstance(house.broker, MemoryBroker)

        run(test())


class TestTimeouts:
    def test_a_thread_that_hangs_is_retried_and_its_worker_told(self, tmp_path: Path) -> None:
        go_on = threading.Event()
        calls: list[int] = []

        def handle(_event: Any, context: Context) -> None:
            calls.append(1)
            if len(calls) == 1:
                assert go_on.wait(10)
            context.start_job()

        async def test() -> None:
            async with open_house(tmp_path, plain_service(handle, timeout_seconds=0.05)) as house:
                job_id = house.submit()
                delivery = await house.take_one(PLANS)
                with pytest.raises(HandlerTimeout, match=r"q\.tiny\.plans ran longer than 0\.05 s"):
                    await house.handle(delivery)
                house.clock.advance(60)
                again = await house.take_one(PLANS)
                assert again.attempts == 1
                await house.handle(again)
                go_on.set()
                assert house.job(job_id).status is JobStatus.RUNNING

        run(test())

    def test_a_coroutine_that_hangs_is_stopped_and_its_worker_stays(self, tmp_path: Path) -> None:
        async def handle(_event: Any, _context: Context) -> None:
            await asyncio.Event().wait()

        async def test() -> None:
            async with open_house(tmp_path, plain_service(handle, timeout_seconds=0.01)) as house:
                job_id = house.submit()
                await house.run_dry()
                expected = "plans: TimeoutError: the handler of q.tiny.plans ran longer than 0.01 s"
                assert house.job(job_id).error_message == expected

        run(test())

    def test_a_timeout_of_the_handlers_own_is_an_ordinary_failure(self, tmp_path: Path) -> None:
        async def test() -> None:
            handle, _ = failing(TimeoutError("no answer"))
            async with open_house(tmp_path, plain_service(handle)) as house:
                job_id = house.submit()
                await house.run_dry()
                assert house.job(job_id).status is JobStatus.RUNNING

        run(test())


def test_refusals_are_no_failures(tmp_path: Path) -> None:
    """A second planner finds the job completed: its message is simply done with."""

    def handle(_event: Any, _context: Context) -> None:
        raise JobTransitionRefused("over")

    async def test() -> None:
        async with open_house(tmp_path, plain_service(handle)) as house:
            job_id = house.submit()
            for status in (JobStatus.RUNNING, JobStatus.COMPLETED):
                house.commit(Work(moves=[JobMove(job_id=job_id, allowed=frozenset(JobStatus), to=status)]))
            await house.run_dry()
            assert house.letters(job_id) == []
            assert not await house.broker.holds(job_id, [PLANS])

    run(test())


def test_a_move_that_its_job_cannot_make_yet_fails_it_in_the_end(tmp_path: Path) -> None:
    """Swallowed, it would leave the job pending for ever."""

    def handle(_event: Any, context: Context) -> None:
        context.complete_job(output_path="results")

    async def test() -> None:
        async with open_house(tmp_path, plain_service(handle)) as house:
            job_id = house.submit()
            await house.run_dry()
            assert house.job(job_id).status is JobStatus.FAILED
            (letter,) = house.letters(job_id)
            assert "is pending and cannot become completed" in letter.error

    run(test())


def test_a_hung_process_is_replaced_even_when_the_store_is_away(tmp_path: Path) -> None:
    hang = threading.Event()

    def handle(_event: Any, _context: Context) -> None:
        hang.wait(20)

    class Stalled(SqlDelivery):
        async def extend(self) -> bool:
            raise StoreUnavailable("the disk is stalled")

    async def test() -> None:
        async with open_house(tmp_path, plain_service(handle, timeout_seconds=0.05)) as house:
            house.submit()
            taken = await house.take_one(PLANS)
            stalled = Stalled(**{field.name: getattr(taken, field.name) for field in fields(taken)})
            try:
                with pytest.raises(HandlerTimeout):
                    await house.handle(stalled)
            finally:
                hang.set()

    run(test())
