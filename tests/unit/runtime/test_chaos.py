"""Whole jobs while workers die, sleep over their leases, fail, and messages are doubled, late and out of order.

When the faults have stopped and what died is replayed, every job is completed, once, with every asset done, once.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from reelwork.broker import Delivery, Faults
from reelwork.errors import PermanentError
from reelwork.ledger import AssetState, CompletionPolicy, JobStatus
from reelwork.runtime import Context, Phase
from tests.house import (
    ENDS,
    ITEMS,
    PLANS,
    STAGE,
    House,
    ItemDone,
    ItemsBatch,
    ItemsReady,
    ends_service,
    open_house,
    plain_service,
    run,
    stage_service,
)

NAMES = [f"{number:02}" for number in range(10)]
JOBS, ROUNDS = 2, 300
QUEUES = [PLANS, ITEMS, f"{ITEMS}.batch", ENDS]
NEEDS_ALL = CompletionPolicy(100, None, allow_partial=False)
PHASES = (Phase(name="items", stages=(STAGE,)), Phase(name="end", stages=None))


class Story:
    def __init__(self, seed: int, *, is_over: bool = False) -> None:
        self.dice = Random(seed)
        self.is_over = is_over
        self._asleep: list[Delivery] = []

    def stumble(self) -> None:
        throw = 1.0 if self.is_over else self.dice.random()
        if throw < 0.05:
            raise PermanentError("broken")
        if throw < 0.25:
            raise OSError("busy")

    async def plan(self, _event: object, context: Context) -> None:
        job_id = context.job.job_id
        context.start_job()
        context.emit(ItemsBatch(job_id=job_id, event_id=context.new_id(), total=len(NAMES)))
        for first in range(0, len(NAMES), 3):
            context.emit(ItemsReady(job_id=job_id, event_id=context.new_id(), names=NAMES[first : first + 3]))
        self.stumble()

    async def work(self, event: ItemsReady, context: Context) -> dict[str, str]:
        assert context.asset is not None
        name = context.asset.asset_id
        context.emit(ItemDone(job_id=event.job_id, name=name))
        self.stumble()
        return {"attempt": context.attempt}

    async def end(self, _event: object, context: Context) -> None:
        self.stumble()
        context.complete_job(output_path="results")

    async def live(self, house: House) -> None:
        """A round in the life of the workers."""
        at_work = []
        for queue in QUEUES:
            for delivery in await house.take(queue, limit=3):
                throw = 1.0 if self.is_over else self.dice.random()
                if throw < 0.1:
                    continue  # its worker dies; the lease ends by itself
                if throw < 0.2:
                    self._asleep.append(delivery)
                else:
                    at_work.append(house.handle(delivery))
        await asyncio.gather(*at_work)
        house.clock.advance(self.dice.choice([0, 1, 31, 200]))
        if self._asleep and (self.is_over or self.dice.random() < 0.5):
            await house.handle(self._asleep.pop())
        await house.sweeper().sweep()


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_every_job_ends_once_and_whole(tmp_path: Path, seed: int, in_memory: bool) -> None:
    async def test() -> None:
        story = Story(seed)
        services = (plain_service(story.plan), stage_service(story.work, policy=NEEDS_ALL), ends_service(story.end))
        faults = Faults(duplicate=0.3, reorder=0.3, delay=0.2) if in_memory else None
        async with open_house(tmp_path, *services, phases=PHASES, faults=faults, seed=seed) as house:
            job_ids = [house.submit() for _ in range(JOBS)]
            for number in range(ROUNDS):
                story.is_over = number > 40
                await story.live(house)
                if story.is_over or story.dice.random() < 0.2:
                    for job_id in job_ids:
                        if house.job(job_id).status is JobStatus.FAILED:
                            house.replay(job_id)
                if all(house.job(job_id).status is JobStatus.COMPLETED for job_id in job_ids):
                    break
            story.is_over = True
            for _ in range(5):
                await story.live(house)
            for job_id in job_ids:
                check(house, job_id)

    run(test())


def check(house: House, job_id: str) -> None:
    job, topics = house.job(job_id), house.topics(job_id)
    letters = [(letter.queue, letter.error, letter.replayed_at) for letter in house.letters(job_id)]
    assert job.status is JobStatus.COMPLETED, (job, topics, letters)
    assert topics.count("tiny.items.completed") == topics.count("job.completed") == 1
    assert house.states(job_id) == dict.fromkeys(NAMES, AssetState.DONE)
    assert topics.count("tiny.item.done") == len(NAMES)
    stage = house.stage(job_id)
    assert (stage.expected, stage.done, stage.failed) == (len(NAMES), len(NAMES), 0)
