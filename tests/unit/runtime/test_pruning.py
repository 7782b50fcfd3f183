"""A job goes with all that is its own, and with nothing that others may use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelwork.errors import JobNotFound
from reelwork.ledger import JobStatus
from reelwork.ledger.sql import SqlLedger
from reelwork.objects.keys import image_key, input_key, results_key, stage_output_key
from reelwork.runtime.pruning import Pruned, prune
from tests.e2e.commands import reelwork
from tests.house import STAGE, House, open_house, run, stage_service

SHARED = image_key("0" * 64)
DAY_MS = 86_400_000


def write(_event: object, context: Any) -> dict[str, str]:
    key = stage_output_key(context.job.job_id, STAGE, context.asset.asset_id, context.attempt)
    context.objects.put(key, b"output")
    return {"key": key}


async def finished_job(house: House) -> str:
    """With an input, two outputs, results, a segment, and a picture that is kept by content."""
    job_id = house.start()
    for key in (input_key(job_id), results_key(job_id), f"segments/{job_id}/00000_00001_sbs.mp4", SHARED):
        house.backends.objects.put(key, b"bytes")
    house.announce(job_id, 2)
    house.send(job_id, "a", "b")
    await house.run_dry()
    house.jobs.cancel(job_id)
    assert house.job(job_id).status is JobStatus.CANCELLED
    return job_id


def pruned(house: House, *, age_ms: int) -> Pruned:
    ledger = house.backends.ledger
    assert isinstance(ledger, SqlLedger)
    before = ledger.now_ms() - age_ms
    return prune(ledger, house.backends.objects, ended_before_ms=before, on_progress=lambda _: None)


def in_house(folder: Path, story: Callable[[House], Any]) -> None:
    async def live() -> None:
        async with open_house(folder, stage_service(write)) as house:
            await story(house)

    run(live())


def test_its_objects_go_and_what_is_kept_by_content_stays(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        job_id = await finished_job(house)
        objects = house.backends.objects
        assert len(list(objects.keys(""))) == 6
        assert pruned(house, age_ms=DAY_MS) == Pruned()
        house.clock.advance(2 * DAY_MS / 1000)
        done = pruned(house, age_ms=DAY_MS)
        assert (done.jobs, done.objects) == (1, 5)
        assert done.rows >= 2
        assert list(objects.keys("")) == [SHARED]
        with pytest.raises(JobNotFound):
            house.job(job_id)

    in_house(tmp_path, story)


def test_the_command_counts_first_and_then_removes(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await finished_job(house)

    in_house(tmp_path, story)  # by its clock, long ago
    command = ["prune", "--older-than", "1", "--data", tmp_path, "--json"]
    counted, removed, again = (reelwork(*command, *more).document for more in (["--dry-run"], [], []))
    assert counted == {"jobs": 1}
    assert (removed["jobs"], removed["objects"]) == (1, 5)
    assert again == {"jobs": 0, "rows": 0, "objects": 0}
