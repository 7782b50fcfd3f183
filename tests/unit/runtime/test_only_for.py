"""A subscription may be for some jobs only: what the others send it is acknowledged, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reelwork.ledger import Job
from reelwork.runtime import Context, Service
from reelwork.runtime.stage_group import StageGroup
from tests.house import ALL, ITEMS, STAGE, ItemsBatch, ItemsCompleted, ItemsReady, open_house, run


def service_for(chosen: list[str], seen: list[str]) -> Service:
    def is_chosen(job: Job) -> bool:
        return job.job_id in chosen

    def handle(_event: Any, context: Context) -> None:
        assert context.asset is not None
        seen.append(f"{context.job.job_id}/{context.asset.asset_id}")
        context.weigh(len(context.asset.asset_id))

    return service_of(is_chosen, handle)


def service_of(is_chosen: Callable[[Job], bool], handle: Callable[[Any, Context], None]) -> Service:
    service = Service("items")
    service.on(ItemsReady, queue=ITEMS, only_for=is_chosen)(handle)
    service.stage(STAGE, announced_by=ItemsBatch, completes_with=ItemsCompleted, policy=ALL)(handle)
    return service


def test_other_jobs_are_passed_over(tmp_path: Path) -> None:
    async def test() -> None:
        chosen: list[str] = []
        seen: list[str] = []
        async with open_house(tmp_path, service_for(chosen, seen)) as house:
            job_id, other = house.start(), house.start()
            chosen.append(job_id)
            for each in (job_id, other):
                house.announce(each, 2)
                house.send(each, "a", "bbb")
            await house.settle()
            assert seen == [f"{job_id}/a", f"{job_id}/bbb"]
            assert house.stage(job_id).completion is not None
            assert house.backends.ledger.stage_status(other) == [], "no announcement of its own, and no assets"
            assert not await house.broker.holds(other, [ITEMS, f"{ITEMS}.batch"])
            assert house.letters() == []

    run(test())


def test_a_condition_that_fails_fails_nobody_else(tmp_path: Path) -> None:
    def is_chosen(job: Job) -> bool:
        return bool(job.parameters[job.job_id])

    async def test() -> None:
        seen: list[str] = []

        def handle(_event: Any, context: Context) -> None:
            assert context.asset is not None
            seen.append(context.asset.asset_id)

        def is_sound(job: Job) -> bool:
            return True if job.job_id == sound else is_chosen(job)

        async with open_house(tmp_path, service_of(is_sound, handle)) as house:
            sound, broken = house.start(), house.start()
            for each in (sound, broken, sound):
                house.send(each, f"{each} {len(house.topics(each))}")
            deliveries = await house.take(ITEMS, limit=10)
            await StageGroup(house.handling, house.subscription(ITEMS), deliveries).run()
            assert len(seen) == 2
            assert all(name.startswith(sound) for name in seen)
            assert await house.broker.holds(broken, [ITEMS]), "it is tried again"
            await house.run_dry()
            (letter,) = house.letters()
            assert letter.job_id == broken
            assert "KeyError" in letter.error

    run(test())


def test_a_handler_says_what_its_asset_stands_for(tmp_path: Path) -> None:
    async def test() -> None:
        chosen: list[str] = []
        async with open_house(tmp_path, service_for(chosen, [])) as house:
            job_id = house.start()
            chosen.append(job_id)
            house.announce(job_id, 2)
            house.send(job_id, "a", "bbb")
            await house.settle()
            assert house.stage(job_id).done_weight == 4

    run(test())
