"""What no message will bring about: due watermarks, changed thresholds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from reelwork.errors import PermanentError, StoreUnavailable
from reelwork.ledger import AssetOutcome, CompletionPolicy, JobStatus, NewDeadLetter, Work
from reelwork.runtime import Phase
from tests.house import ITEMS, PLANS, STAGE, House, open_house, run, stage_service

TTL_SECONDS, MAX_SECONDS = 900.0, 86_400.0
POLICY = CompletionPolicy(100, TTL_SECONDS)


def nothing(_event: object, _context: object) -> None: ...


def house_of(folder: Path, *, policy: CompletionPolicy | None = POLICY, **settings: Any) -> Any:
    service = stage_service(nothing, policy=policy)
    return open_house(folder, service, REELWORK_WATERMARK_MAX_SECONDS=MAX_SECONDS, **settings)


async def sweep_after(house: House, seconds: float) -> list[str]:
    house.clock.advance(seconds)
    return [fired.reason for fired in await house.sweeper().sweep()]


class TestWatermark:
    @pytest.mark.parametrize("is_announced", [True, False])
    def test_completes_what_hears_nothing_more(self, tmp_path: Path, is_announced: bool) -> None:
        async def test() -> None:
            async with house_of(tmp_path) as house:
                job_id = house.start()
                if is_announced:
                    house.announce(job_id, 3)
                house.send(job_id, "a")
                await house.settle()
                assert await sweep_after(house, TTL_SECONDS - 0.001) == []
                assert await sweep_after(house, 0.001) == ["watermark"]
                assert await sweep_after(house, TTL_SECONDS) == []
                completion = house.stage(job_id).completion
                assert completion is not None
                assert completion.total_assets == (3 if is_announced else 1)
                assert completion.has_partial_completion

        run(test())

    @pytest.mark.parametrize("waits_in", [ITEMS, f"{ITEMS}.batch"])
    @pytest.mark.parametrize("in_memory", [True, False])
    def test_waits_for_what_is_in_a_queue(self, tmp_path: Path, waits_in: str, in_memory: bool) -> None:
        async def test() -> None:
            async with house_of(tmp_path, in_memory=in_memory) as house:
                job_id, other = house.start(), house.start()
                for one in (job_id, other):
                    house.announce(one, 9)
                    house.send(one, "a")
                await house.settle()
                house.send(job_id, "b")
                if waits_in != ITEMS:
                    house.announce(job_id, 10)
                    await house.settle(ITEMS)
                await house.relay.publish_batch()
                assert await sweep_after(house, TTL_SECONDS) == ["watermark"]
                assert house.stage(job_id).completion is None
                await house.settle()
                assert await sweep_after(house, TTL_SECONDS - 0.001) == []
                assert await sweep_after(house, 0.001) == ["watermark"]

        run(test())

    def test_waits_for_what_is_in_hand(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path) as house:
                job_id = house.start()
                house.announce(job_id, 2)
                await house.settle()
                house.send(job_id, "a")
                delivery = await house.take_one(ITEMS)
                assert await sweep_after(house, TTL_SECONDS) == []
                await delivery.extend()
                await house.handle(delivery)
                assert await sweep_after(house, TTL_SECONDS) == ["watermark"]

        run(test())

    def test_does_not_wait_for_ever(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path) as house:
                job_id = house.start()
                house.announce(job_id, 2)
                await house.settle()
                house.send(job_id, "a")
                assert await sweep_after(house, MAX_SECONDS - 1) == []
                assert await sweep_after(house, 0.999) == []
                assert await sweep_after(house, 0.001) == ["watermark"]

        run(test())

    def test_workers_at_it_together_fire_once(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_of(tmp_path) as house:
                job_id = house.start()
                house.announce(job_id, 2)
                await house.settle()
                house.clock.advance(TTL_SECONDS)
                swept = await asyncio.gather(*(house.sweeper().sweep() for _ in range(4)))
                assert sorted(len(fired) for fired in swept) == [0, 0, 0, 1]
                assert house.topics(job_id).count("tiny.items.completed") == 1

        run(test())


class TestThreshold:
    def test_a_lowered_one_takes_effect(self, tmp_path: Path) -> None:
        async def test() -> None:
            for percentage, expected in ((90, []), (50, ["threshold"]), (40, [])):
                async with house_of(tmp_path, policy=None, COMPLETION_THRESHOLD_PERCENTAGE=percentage) as house:
                    job_id = "job"
                    if percentage == 90:
                        stages = house.backends.stages
                        news = [
                            stages.announcement(job_id, STAGE, 2),
                            stages.outcomes(job_id, STAGE, [AssetOutcome("a")]),
                        ]
                        house.commit(Work(stages=news))
                    assert await sweep_after(house, 1) == expected

        run(test())


def test_a_job_brought_back_by_something_else_fails_again_for_want_of_assets(tmp_path: Path) -> None:
    """A stage that needs all its assets lacks one, and what is replayed is not what it lacks."""

    def tear(_event: Any, _context: object) -> None:
        raise PermanentError("torn")

    async def test() -> None:
        policy = CompletionPolicy(100, None, allow_partial=False)
        async with open_house(tmp_path, stage_service(tear, policy=policy)) as house:
            job_id = house.start()
            house.announce(job_id, 1)
            house.send(job_id, "a")
            await house.settle()
            assert house.job(job_id).status is JobStatus.FAILED
            other = NewDeadLetter(
                job_id=job_id, queue=PLANS, topic="tiny.submitted", event_id="e", body="{}", error="lost", attempts=1
            )
            house.commit(Work(dead_letters=[other]))
            house.commit(Work(replay=house.letters(job_id)[-1].dead_letter_id))
            assert house.job(job_id).status is JobStatus.RUNNING
            await sweep_after(house, 1)
            assert house.job(job_id).status is JobStatus.FAILED
            assert house.topics(job_id).count("job.failed") == 2

    run(test())


def test_a_watermark_that_failed_a_job_fails_it_again_when_something_else_brings_it_back(tmp_path: Path) -> None:
    async def test() -> None:
        policy = CompletionPolicy(100, TTL_SECONDS, allow_partial=False)
        async with open_house(tmp_path, stage_service(nothing, policy=policy)) as house:
            job_id = house.start()
            house.announce(job_id, 2)
            house.send(job_id, "a")
            await house.settle()
            await sweep_after(house, TTL_SECONDS)
            assert house.job(job_id).status is JobStatus.FAILED
            other = NewDeadLetter(
                job_id=job_id, queue=PLANS, topic="tiny.submitted", event_id="e", body="{}", error="lost", attempts=1
            )
            house.commit(Work(dead_letters=[other]))
            house.replay(job_id)
            assert house.job(job_id).status is JobStatus.RUNNING
            await sweep_after(house, TTL_SECONDS)
            assert house.job(job_id).status is JobStatus.FAILED

    run(test())


class Stumbling:
    """Fails whatever it is asked to do, and counts that."""

    def __init__(self, error: Exception) -> None:
        self.calls = 0
        self._error = error

    def sweep(self) -> None:
        self.calls += 1
        raise self._error

    async def holds(self, _job_id: str, _queues: object) -> bool:
        self.calls += 1
        raise self._error


@pytest.mark.parametrize("error", [RuntimeError("a bug"), StoreUnavailable("away")])
def test_what_it_stumbles_over_does_not_end_it(tmp_path: Path, error: Exception) -> None:
    async def test() -> None:
        async with house_of(tmp_path, REELWORK_SWEEP_SECONDS=0.01) as house:
            conductor = Stumbling(error)
            house.backends.conductor = conductor  # type: ignore[assignment]
            stop = asyncio.Event()
            sweeping = asyncio.create_task(house.sweeper().run(stop))
            while conductor.calls < 3:
                await asyncio.sleep(0.001)
            stop.set()
            await sweeping

    run(test())


def test_a_broker_that_is_away_keeps_nothing_waiting_but_what_needs_it(tmp_path: Path) -> None:
    """A watermark is due, and cannot be judged; meanwhile a job whose stage is complete goes on."""

    async def test() -> None:
        service = stage_service(nothing, policy=POLICY)
        phases = (Phase(name="work", stages=(STAGE,)),)
        async with open_house(tmp_path, service, phases=phases, in_memory=True) as house:
            due, whole = house.start(), house.start()
            stages = house.backends.stages
            for job_id, total in ((due, 2), (whole, 1)):
                updates = [
                    stages.announcement(job_id, STAGE, total),
                    stages.outcomes(job_id, STAGE, [AssetOutcome("a")]),
                ]
                house.commit(Work(stages=updates))
            house.clock.advance(TTL_SECONDS)
            away = Stumbling(StoreUnavailable("away"))
            house.broker.holds = away.holds  # type: ignore[method-assign]
            await house.sweeper().sweep()
            assert away.calls == 1
            assert house.stage(due).completion is None
            assert house.job(whole).status is JobStatus.COMPLETED

    run(test())
