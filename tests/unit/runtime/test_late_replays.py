"""What is replayed after its stage has completed is counted late, and nothing that has fired fires again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reelwork.errors import PermanentError
from reelwork.ledger import CompletionPolicy, JobStatus
from reelwork.runtime import Phase
from reelwork.runtime.dead_letters import DeadLetters, Selection
from tests.house import (
    ITEMS,
    STAGE,
    House,
    ItemDone,
    ItemsCompleted,
    ends_service,
    open_house,
    run,
    stage_service,
)

PHASES = (Phase(name="work", stages=(STAGE,)),)
NAMES = ("a", "b", "c", "d")


class Shop:
    """A handler for which some items are torn, until they are mended."""

    def __init__(self, *torn: str) -> None:
        self.torn = set(torn)
        self.ends: list[str] = []

    def item(self, event: Any, context: Any) -> None:
        name = context.asset.asset_id
        if name in self.torn:
            raise PermanentError(f"{name} is torn")
        context.emit(ItemDone(job_id=event.job_id, name=name))

    def end(self, event: ItemsCompleted, _: Any) -> None:
        self.ends.append(event.job_id)


def replay_all(house: House) -> int:
    return DeadLetters(house.backends.ledger).replay_selected(Selection(error="IS TORN"), limit=100).replayed


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize(
    ("threshold", "reason", "lates"),
    [
        (100, "settled", (0, 1, 2)),  # the failures were in time, the replays are late
        (50, "threshold", (2, 2, 2)),  # an asset that was late before is counted late once
    ],
)
def test_of_a_completed_job(
    tmp_path: Path, in_memory: bool, threshold: int, reason: str, lates: tuple[int, ...]
) -> None:
    shop = Shop("c", "d")

    async def test() -> None:
        services = (stage_service(shop.item, policy=CompletionPolicy(threshold, None)), ends_service(shop.end))
        async with open_house(tmp_path, *services, phases=PHASES, in_memory=in_memory) as house:
            job_id = house.start()
            house.announce(job_id, len(NAMES))
            await house.settle(f"{ITEMS}.batch")
            for name in NAMES:
                house.send(job_id, name)
            await house.run_dry()
            house.clock.advance(60)
            await house.sweeper().sweep()
            before = house.stage(job_id)
            assert before.completion is not None
            assert (before.completion.reason, before.completion.processed_assets) == (reason, 2)
            assert (before.done, before.failed, before.late) == (2, 2, lates[0])
            assert house.job(job_id).status is JobStatus.COMPLETED

            shop.torn = {"d"}
            assert replay_all(house) == 2
            await house.run_dry()
            await house.sweeper().sweep()
            after = house.stage(job_id)
            assert (after.done, after.failed, after.late) == (3, 1, lates[1])
            assert after.completion == before.completion
            assert after.completed_at == before.completed_at

            shop.torn = set()
            assert replay_all(house) == 1  # what failed once more is a new letter
            assert replay_all(house) == 0
            await house.run_dry()
            await house.sweeper().sweep()
            last = house.stage(job_id)
            assert (last.done, last.failed, last.late) == (4, 0, lates[2])
            assert last.completion == before.completion
            assert house.topics(job_id).count(ItemsCompleted.topic) == 1
            assert house.topics(job_id).count("job.completed") == 1
            assert house.topics(job_id).count(ItemDone.topic) == 4
            assert shop.ends == [job_id]
            assert house.job(job_id).status is JobStatus.COMPLETED

    run(test())
