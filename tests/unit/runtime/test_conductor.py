"""A job moves through its phases by what is recorded, once each, whoever looks and however often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reelwork.ledger import AssetOutcome, AssetState, CompletionPolicy, Job, JobMove, JobStatus, NewJob, Work
from reelwork.runtime import Phase
from reelwork.runtime.conductor import Conductor
from tests.house import STAGE, House, Next, open_house, run, stage_service

SETTLE_SECONDS = 30.0
HALF = CompletionPolicy(50, 900)


def request(job: Job) -> Next:
    return Next(job_id=job.job_id)


PHASES = (Phase(name="items", stages=(STAGE,)), Phase(name="after", stages=(STAGE,), request=request))
WAITING = (Phase(name="items", stages=(STAGE,)), Phase(name="end", stages=None, request=request))


def nothing(_event: object, _context: object) -> None: ...


def house_of(folder: Path, *phases: Phase, policy: CompletionPolicy = HALF) -> object:
    return open_house(
        folder, stage_service(nothing, policy=policy), phases=phases, REELWORK_SETTLE_SECONDS=SETTLE_SECONDS
    )


def record(house: House, job_id: str, *, expected: int | None = None, done: str = "", failed: str = "") -> None:
    stages = house.backends.stages
    outcomes = [AssetOutcome(name) for name in done] + [AssetOutcome(name, AssetState.FAILED) for name in failed]
    updates = [] if expected is None else [stages.announcement(job_id, STAGE, expected)]
    house.commit(Work(stages=[*updates, stages.outcomes(job_id, STAGE, outcomes)]))


class TestPhases:
    @pytest.mark.parametrize(
        ("expected", "done", "failed"),
        [
            (2, "ab", ""),  # all of them
            (0, "", ""),  # nothing to do is normal
            (2, "a", "b"),  # settled: nothing more will come
        ],
    )
    def test_a_settled_stage_ends_its_phase_at_once(
        self, tmp_path: Path, expected: int, done: str, failed: str
    ) -> None:
        async def test() -> None:
            async with house_of(tmp_path, *WAITING) as house:  # type: ignore[attr-defined]
                job_id = house.start()
                record(house, job_id, expected=expected, done=done, failed=failed)
                house.backends.conductor.advance(job_id)
                assert (house.job(job_id).phase, house.job(job_id).status) == ("end", JobStatus.RUNNING)
                assert house.topics(job_id).count("tiny.next") == 1

        run(test())

    def test_a_partial_stage_may_still_settle_for_a_while(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path, *WAITING) as house:  # type: ignore[attr-defined]
                job_id = house.start()
                record(house, job_id, expected=4, done="ab")
                assert house.stage(job_id).completion is not None
                house.clock.advance(SETTLE_SECONDS - 0.001)
                await house.sweeper().sweep()
                assert house.job(job_id).phase == "items"
                house.clock.advance(0.001)
                await house.sweeper().sweep()
                assert house.job(job_id).phase == "end"

        run(test())

    def test_it_may_go_on_settling_as_long_as_something_comes(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path, *WAITING) as house:  # type: ignore[attr-defined]
                job_id = house.start()
                record(house, job_id, expected=8, done="abcd")
                assert house.stage(job_id).completion is not None
                for straggler in "efg":
                    house.clock.advance(SETTLE_SECONDS - 0.001)
                    record(house, job_id, done=straggler)
                    await house.sweeper().sweep()
                    assert house.job(job_id).phase == "items"
                house.clock.advance(SETTLE_SECONDS - 0.001)
                await house.sweeper().sweep()
                assert house.job(job_id).phase == "items"
                house.clock.advance(0.001)
                await house.sweeper().sweep()
                assert house.job(job_id).phase == "end"

        run(test())

    def test_stragglers_that_settle_it_are_not_waited_for_any_longer(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path, *WAITING) as house:  # type: ignore[attr-defined]
                job_id = house.start()
                record(house, job_id, expected=4, done="ab")
                record(house, job_id, done="c", failed="d")
                await house.sweeper().sweep()
                assert house.job(job_id).phase == "end"

        run(test())

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_the_last_straggler_moves_the_job_at_once(self, tmp_path: Path, in_memory: bool) -> None:
        async def test() -> None:
            service = stage_service(nothing, policy=HALF)
            async with open_house(tmp_path, service, phases=WAITING, in_memory=in_memory) as house:
                job_id = house.start()
                house.announce(job_id, 4)
                for straggler in "abc":
                    house.send(job_id, straggler)
                await house.settle()
                assert house.stage(job_id).completion is not None
                assert house.job(job_id).phase == "items"
                house.send(job_id, "d")
                await house.settle()
                assert house.job(job_id).phase == "end"

        run(test())

    def test_behind_the_last_phase_the_job_is_completed(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path, *PHASES) as house:  # type: ignore[attr-defined]
                job_id = house.start()
                record(house, job_id, expected=1, done="a")
                house.backends.conductor.advance(job_id)
                assert house.job(job_id).status is JobStatus.COMPLETED
                assert house.topics(job_id) == ["tiny.items.completed", "tiny.next", "job.completed"]

        run(test())

    def test_a_completion_recorded_by_a_worker_moves_the_job_at_once(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path, *PHASES) as house:  # type: ignore[attr-defined]
                job_id = house.start()
                house.announce(job_id, 1)
                house.send(job_id, "a")
                await house.settle()
                assert house.job(job_id).status is JobStatus.COMPLETED

        run(test())


class TestMany:
    def test_conductors_at_once_move_it_once(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path, *PHASES) as house:  # type: ignore[attr-defined]
                backends = house.backends
                conductors = [
                    Conductor(backends.ledger, backends.catalogue, world=backends.world, settle_seconds=0)
                    for _ in range(4)
                ]
                job_ids = [house.start() for _ in range(10)]
                for job_id in job_ids:
                    record(house, job_id, expected=1, done="a")
                with ThreadPoolExecutor(4) as threads:
                    for job_id in job_ids:
                        list(threads.map(lambda conductor, job_id=job_id: conductor.advance(job_id), conductors))
                for job_id in job_ids:
                    assert house.topics(job_id) == ["tiny.items.completed", "tiny.next", "job.completed"]

        run(test())

    def test_a_job_that_cannot_move_holds_up_no_other(self, tmp_path: Path) -> None:
        """Its phase is gone, as after an upgrade."""

        async def test() -> None:
            async with house_of(tmp_path, *PHASES) as house:  # type: ignore[attr-defined]
                first, last = house.start(), house.start()
                house.commit(Work(new_job=NewJob(job_id="odd", pipeline="tiny", input_path="input")))
                pending = frozenset({JobStatus.PENDING})
                house.commit(Work(moves=[JobMove(job_id="odd", allowed=pending, to=JobStatus.RUNNING, phase="gone")]))
                for job_id in (first, last, "odd"):
                    record(house, job_id, expected=0)
                await house.sweeper().sweep()
                assert [house.job(job_id).status for job_id in (first, last, "odd")] == [
                    JobStatus.COMPLETED,
                    JobStatus.COMPLETED,
                    JobStatus.RUNNING,
                ]

        run(test())

    @pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
    def test_a_job_that_is_over_stays_where_it_is(self, tmp_path: Path, status: JobStatus) -> None:
        async def test() -> None:
            async with house_of(tmp_path, *PHASES) as house:  # type: ignore[attr-defined]
                job_id = house.start()
                record(house, job_id, expected=1, done="a")
                alive = frozenset({JobStatus.RUNNING})
                house.commit(Work(moves=[JobMove(job_id=job_id, allowed=alive, to=status)]))
                await house.sweeper().sweep()
                house.backends.conductor.advance(job_id)
                house.backends.conductor.advance("nobody")
                assert (house.job(job_id).phase, house.job(job_id).status) == ("items", status)

        run(test())


def test_a_phase_that_a_service_leaves_waits_for_it(tmp_path: Path) -> None:
    async def test() -> None:
        left_by_service = Phase(name="items", stages=(STAGE,), is_left_by_service=True)
        async with house_of(tmp_path, left_by_service) as house:  # type: ignore[attr-defined]
            job_id = house.start()
            record(house, job_id, expected=2, done="a")
            assert house.jobs.progress(house.job(job_id)) == pytest.approx(0.5)
            record(house, job_id, done="b")
            house.backends.conductor.advance(job_id)
            assert (house.job(job_id).phase, house.job(job_id).status) == ("items", JobStatus.RUNNING)

    run(test())
