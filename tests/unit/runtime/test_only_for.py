"""A subscription may be for some jobs only: what the others send it is acknowledged, and changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reelwork.ledger import Job
from reelwork.runtime import Context, Service
from tests.house import ALL, ITEMS, STAGE, ItemsBatch, ItemsCompleted, ItemsReady, open_house, run


def service_for(chosen: list[str], seen: list[str]) -> Service:
    def is_chosen(job: Job) -> bool:
        return job.job_id in chosen

    def handle(_event: Any, context: Context) -> None:
        assert context.asset is not None
        seen.append(f"{context.job.job_id}/{context.asset.asset_id}")
        context.weigh(len(context.asset.asset_id))

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
