"""Why a stage is open is told from what is recorded and queued, through the real runtime, with the way out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from reelwork.errors import PermanentError
from reelwork.ledger import AssetOutcome, AssetState, CompletionPolicy, JobStatus, Work
from reelwork.runtime import Phase
from reelwork.runtime.diagnosis import Cause, Reason, why_fired
from reelwork.runtime.standing import JobStanding, StageStanding, Standings
from tests.house import (
    ITEMS,
    PLANS,
    STAGE,
    House,
    ItemsBatch,
    Submitted,
    open_house,
    plain_service,
    run,
    stage_service,
    uuid5_of,
)

PHASES = (Phase(name="work", stages=(STAGE,)),)
PATIENT = CompletionPolicy(90, 900)
NEEDS_ALL = CompletionPolicy(100, 900, allow_partial=False)
LONG_SECONDS = 120


async def standing(house: House, job_id: str) -> JobStanding:
    return await Standings(house.backends).of(job_id)


async def of_stage(house: House, job_id: str) -> StageStanding:
    (stage,) = (await standing(house, job_id)).stages
    return stage


def stuck(reasons: Any) -> dict[Cause, Reason]:
    return {reason.cause: reason for reason in reasons if reason.is_stuck}


def record(house: House, job_id: str, *names: str, state: AssetState = AssetState.DONE, **fields: Any) -> None:
    outcomes = [AssetOutcome(name, state, **fields) for name in names]
    house.commit(Work(stages=[house.backends.stages.outcomes(job_id, STAGE, outcomes)]))


def announce(house: House, job_id: str, expected: int) -> None:
    house.commit(Work(stages=[house.backends.stages.announcement(job_id, STAGE, expected)]))


def nothing(*_: Any) -> None: ...


def break_down(*_: Any) -> None:
    raise PermanentError("torn for good")


def in_house(
    tmp_path: Path,
    test: Callable[[House], Coroutine[Any, Any, None]],
    *,
    handler: Callable[..., Any] = nothing,
    policy: CompletionPolicy = PATIENT,
    phases: tuple[Phase, ...] = PHASES,
    in_memory: bool = False,
) -> None:
    async def opened() -> None:
        services = (stage_service(handler, policy=policy), plain_service(nothing))
        async with open_house(tmp_path, *services, phases=phases, in_memory=in_memory) as house:
            await test(house)

    run(opened())


class TestStuckStages:
    def test_never_announced(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.start()
            record(house, job_id, "a", "b")
            assert stuck((await of_stage(house, job_id)).reasons) == {}
            house.clock.advance(LONG_SECONDS)
            reason = stuck((await of_stage(house, job_id)).reasons)[Cause.NEVER_ANNOUNCED]
            assert "2 assets came (2 done, 0 failed), and no announcement (tiny.items.batch)" in reason.found
            assert (
                reason.fix == "send the announcement (tiny.items.batch); else it completes with what it has in 13 min"
            )

        in_house(tmp_path, test)

    @pytest.mark.parametrize(
        ("policy", "ending"),
        [
            (PATIENT, "else it completes with what it has in 13 min"),
            (NEEDS_ALL, "else its job fails in 13 min, for it needs all its assets"),
            (
                CompletionPolicy(90, None),
                "it has no watermark, so else it stays open: `reelwork cancel {}` ends its job",
            ),
        ],
    )
    def test_fewer_arrived_than_announced(self, tmp_path: Path, policy: CompletionPolicy, ending: str) -> None:
        async def test(house: House) -> None:
            job_id = house.start()
            house.announce(job_id, 100)
            house.send(job_id, *(f"{n:02}" for n in range(60)))
            await house.settle()
            assert stuck((await of_stage(house, job_id)).reasons) == {}
            house.clock.advance(LONG_SECONDS)
            reason = stuck((await of_stage(house, job_id)).reasons)[Cause.TOO_FEW_ARRIVED]
            assert "60 of 100 announced assets arrived, nothing of the other 40 waits in a queue" in reason.found
            assert reason.fix is not None
            assert reason.fix.endswith(ending.format(job_id))

        in_house(tmp_path, test, policy=policy)

    def test_no_worker_takes_its_messages(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.start()
            announce(house, job_id, 4)
            for name in "abcd":
                house.send(job_id, name)
            (queued,) = (await of_stage(house, job_id)).reasons
            assert (queued.cause, queued.is_stuck) == (Cause.QUEUED, False)
            left = await house.take_one(ITEMS)
            (working,) = (await of_stage(house, job_id)).reasons
            assert (working.cause, working.found) == (
                Cause.WORKING,
                f"3 messages wait in {ITEMS}, 1 of {ITEMS} being worked on",
            )
            await house.crash(left)
            house.clock.advance(LONG_SECONDS)
            reason = stuck((await of_stage(house, job_id)).reasons)[Cause.NO_WORKER]
            assert f"4 messages wait in {ITEMS} (1 left by workers whose leases ended)" in reason.found
            assert "no worker takes them" in reason.found
            assert reason.fix == "start workers: `reelwork worker items`"

        in_house(tmp_path, test)

    def test_what_waits_behind_other_jobs_is_not_stuck(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            busy, patient = house.start(), house.start()
            house.send(busy, "a")
            announce(house, patient, 1)
            house.send(patient, "b")
            house.clock.advance(LONG_SECONDS)
            await house.take_one(ITEMS)
            (reason,) = (await of_stage(house, patient)).reasons
            assert (reason.cause, reason.is_stuck) == (Cause.QUEUED, False)
            assert reason.found == f"1 message waits in {ITEMS}, behind other jobs"

        in_house(tmp_path, test)

    def test_dead_letters(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.start()
            announce(house, job_id, 3)
            house.send(job_id, "a")
            await house.settle()
            house.clock.advance(LONG_SECONDS)
            reason = stuck((await of_stage(house, job_id)).reasons)[Cause.DEAD_LETTERS]
            assert reason.found == "1 of its messages failed for good: a: torn for good"
            assert reason.fix == f"mend the cause, then `reelwork dead-letters replay --job {job_id} --stage {STAGE}`"
            house.replay(job_id)
            assert Cause.DEAD_LETTERS not in stuck((await of_stage(house, job_id)).reasons)

        in_house(tmp_path, test, handler=break_down)

    def test_a_due_watermark_that_nobody_sweeps(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.start()
            announce(house, job_id, 2)
            assert (await of_stage(house, job_id)).watermark == "in 15 min"
            house.clock.advance(900 + LONG_SECONDS)
            stage = await of_stage(house, job_id)
            assert stage.watermark == "due 2 min ago"
            reason = stuck(stage.reasons)[Cause.NOT_SWEPT]
            assert "its watermark has passed since 2 min, and it has not fired; no sweeper runs" in reason.found
            await house.sweeper().sweep()
            stage = await of_stage(house, job_id)
            assert (stage.reasons, stage.watermark) == ([], None)
            assert stage.detail.fired == "watermark: 0 of 2 done, and nothing new for 15 min"

        in_house(tmp_path, test)

    @pytest.mark.parametrize("in_memory", [False, True])
    def test_a_due_watermark_that_is_held_back(self, tmp_path: Path, in_memory: bool) -> None:
        """A broker in another engine tells only that something waits."""

        async def test(house: House) -> None:
            job_id = house.start()
            announce(house, job_id, 4)
            house.send(job_id, *"abcd")
            house.send(job_id, *"abcd")
            await house.relay.publish_batch()
            house.clock.advance(903)
            stage = await of_stage(house, job_id)
            holding = "messages wait in a queue" if in_memory else f"2 messages wait in {ITEMS}"
            assert stage.watermark == f"due 3 s ago, held back: {holding}"
            assert Cause.NOT_SWEPT not in stuck(stage.reasons)

        in_house(tmp_path, test, in_memory=in_memory)

    def test_one_that_needs_all_fell_short(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.start()
            announce(house, job_id, 3)
            record(house, job_id, "a")
            record(house, job_id, "b", state=AssetState.FAILED, error="torn")
            house.clock.advance(901)
            await house.sweeper().sweep()
            assert house.job(job_id).status is JobStatus.FAILED
            (reason,) = (await of_stage(house, job_id)).reasons
            assert reason.cause is Cause.FELL_SHORT
            assert reason.found == "it needs all its assets; missing: b (torn), 1 that never arrived"

        in_house(tmp_path, test, policy=NEEDS_ALL)

    def test_announcements_in_conflict(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.start()
            announce(house, job_id, 5)
            announce(house, job_id, 3)
            reasons = {reason.cause: reason for reason in (await of_stage(house, job_id)).reasons}
            assert reasons[Cause.CONFLICT].found == "an announcement of 3 had no effect: 5 were announced before"
            assert not reasons[Cause.CONFLICT].is_stuck

        in_house(tmp_path, test)


class TestFired:
    @pytest.mark.parametrize(
        ("expected", "done", "failed", "words"),
        [
            (2, 2, 0, "all: 2 of 2 done"),
            (0, 0, 0, "all: 0 of 0 done"),
            (10, 9, 0, "threshold: 9 of 10 done, 90 % asked"),
            (10, 5, 5, "settled: 5 of 10 done, 5 failed"),
        ],
    )
    def test_in_words(self, tmp_path: Path, expected: int, done: int, failed: int, words: str) -> None:
        async def test(house: House) -> None:
            job_id = house.start()
            record(house, job_id, *(f"d{n}" for n in range(done)))
            record(house, job_id, *(f"f{n}" for n in range(failed)), state=AssetState.FAILED)
            announce(house, job_id, expected)
            stage = await of_stage(house, job_id)
            assert (stage.detail.fired, stage.reasons) == (words, [])

        in_house(tmp_path, test)

    def test_by_a_watermark_without_an_announcement(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.start()
            record(house, job_id, "a", "b")
            house.clock.advance(900)
            await house.sweeper().sweep()
            fired = (await of_stage(house, job_id)).detail.fired
            assert fired == "watermark: 2 of 2 done, never announced, and nothing new for 15 min"

        in_house(tmp_path, test)

    def test_the_percentage_is_told_only_while_it_can_be_the_one(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.start()
            record(house, job_id, *(str(n) for n in range(9)))
            announce(house, job_id, 10)
            completion = house.stage(job_id).completion
            assert completion is not None
            assert why_fired(completion, CompletionPolicy(95, 900)) == "threshold: 9 of 10 done"

        in_house(tmp_path, test)


class TestJobs:
    def test_a_job_whose_first_message_nobody_takes(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.submit()
            house.clock.advance(LONG_SECONDS)
            reason = stuck((await standing(house, job_id)).reasons)[Cause.NO_WORKER]
            assert reason.fix == "start workers: `reelwork worker plans`"

        in_house(tmp_path, test)

    def test_a_job_whose_first_message_is_gone(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.submit()
            await house.settle(PLANS)  # a planner that forgets to start the job
            house.clock.advance(LONG_SECONDS)
            reason = stuck((await standing(house, job_id)).reasons)[Cause.NOTHING_CAME]
            assert reason.found == "it is pending, and its first message waits in no queue"

        in_house(tmp_path, test)

    def test_events_that_no_relay_publishes(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.submit()
            assert stuck((await standing(house, job_id)).reasons) == {}
            house.clock.advance(LONG_SECONDS)
            reason = stuck((await standing(house, job_id)).reasons)[Cause.NOT_PUBLISHED]
            assert "since 2 min" in reason.found
            await house.relay.publish_batch()
            assert Cause.NOT_PUBLISHED not in stuck((await standing(house, job_id)).reasons)

        in_house(tmp_path, test, in_memory=True)

    def test_a_phase_that_waits_for_a_stage_of_which_nothing_came(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.start()
            (reason,) = (await standing(house, job_id)).reasons
            assert (reason.cause, reason.is_stuck) == (Cause.NOTHING_CAME, False)
            house.clock.advance(LONG_SECONDS)
            (reason,) = (await standing(house, job_id)).reasons
            assert f"phase work waits for stage {STAGE}, which was not announced" in reason.found
            assert reason.is_stuck
            announce(house, job_id, 1)
            (reason,) = (await standing(house, job_id)).reasons
            assert (reason.cause, reason.is_stuck) == (Cause.PHASE_WAITS, False)

        in_house(tmp_path, test)

    def test_a_phase_that_nobody_ends(self, tmp_path: Path) -> None:
        """All its stages are complete: the conductor's move is due once the stage has settled or had its time."""

        async def test(house: House) -> None:
            job_id = house.start()
            announce(house, job_id, 10)
            record(house, job_id, *(str(n) for n in range(9)))
            house.clock.advance(31)
            assert (await standing(house, job_id)).reasons == []
            house.clock.advance(LONG_SECONDS)
            assert Cause.NOT_SWEPT in stuck((await standing(house, job_id)).reasons)
            await house.sweeper().sweep()
            assert house.job(job_id).status is JobStatus.COMPLETED
            assert (await standing(house, job_id)).reasons == []

        in_house(tmp_path, test)

    def test_a_phase_that_a_service_must_end_and_does_not(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            job_id = house.start()
            house.clock.advance(LONG_SECONDS)
            (reason,) = stuck((await standing(house, job_id)).reasons).values()
            assert "a service must end phase work, and no message waits for one" in reason.found

        in_house(tmp_path, test, phases=(Phase(name="work", stages=None),))

    def test_live_ones_and_failed_ones_with_an_open_stage(self, tmp_path: Path) -> None:
        async def test(house: House) -> None:
            pending, running, failed, completed = house.submit(), house.start(), house.start(), house.start()
            announce(house, failed, 1)
            record(house, failed, "a", state=AssetState.FAILED)
            house.backends.conductor.advance(completed)
            announce(house, completed, 0)
            house.backends.conductor.advance(completed)
            cancelled = house.start()
            house.jobs.cancel(cancelled)
            found = [each.job.job_id async for each in Standings(house.backends).of_live_jobs()]
            assert sorted(found) == sorted([pending, running, failed])

        in_house(tmp_path, test, policy=NEEDS_ALL)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        job_id = house.start()
        house.commit(Work(events=[ItemsBatch(job_id=job_id, event_id=uuid5_of(job_id, "batch"), total=3)]))
        house.commit(Work(events=[Submitted(job_id=job_id)]))
        house.clock.advance(LONG_SECONDS)
        before = house.backends.ledger.queue_depths(job_id), house.job(job_id), house.backends.ledger.outbox(job_id)
        await asyncio.gather(*(standing(house, job_id) for _ in range(3)))
        after = house.backends.ledger.queue_depths(job_id), house.job(job_id), house.backends.ledger.outbox(job_id)
        assert after == before

    in_house(tmp_path, test)
