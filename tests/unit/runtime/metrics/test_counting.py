"""What happens to deliveries is counted, each thing once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from reelwork.errors import PermanentError
from reelwork.runtime import Context, Phase
from reelwork.runtime.metrics.catalogue import (
    ASSETS,
    COMPLETION_SECONDS,
    COMPLETIONS,
    DEAD_LETTERS,
    GROUP_SIZE,
    HANDLER_TIME,
    JOB_SECONDS,
    LEASE_LOSSES,
    PHASE_MOVES,
    PUBLISHED,
    REPUBLISHED,
    RETRIES,
    Counter,
    Histogram,
)
from reelwork.runtime.metrics.tally import TALLY
from tests.house import ITEMS, PLANS, STAGE, Event, House, ItemsReady, open_house, plain_service, run, stage_service

Change = Callable[..., float]


def counted() -> Change:
    """How much a metric has grown since this was called."""
    before = TALLY.numbers()

    def growth(metric: Counter | Histogram, *labels: str) -> float:
        series, now = (metric.name, labels), TALLY.numbers()
        if isinstance(metric, Counter):
            return now.counts.get(series, 0) - before.counts.get(series, 0)
        return sum(now.spreads.get(series, [0])[:-1]) - sum(before.spreads.get(series, [0])[:-1])

    return growth


def start(_: Event, context: Context) -> None:
    context.start_job()


def work(_: ItemsReady, context: Context) -> None:
    assert context.asset is not None
    if context.asset.asset_id.startswith("bad"):
        raise PermanentError("unreadable")
    if context.asset.asset_id.startswith("odd"):
        raise RuntimeError("out of luck")


def test_a_job_that_goes_well(tmp_path: Path) -> None:
    async def test() -> None:
        phases = (Phase(name="work", stages=(STAGE,)),)
        async with open_house(tmp_path, plain_service(start), stage_service(work), phases=phases) as house:
            growth = counted()
            job_id = house.submit()
            await house.settle()
            house.announce(job_id, 3)
            house.send(job_id, "a", "b")
            house.send(job_id, "c")
            house.clock.advance(40)
            await house.settle()
            assert house.job(job_id).status == "completed"
            assert growth(ASSETS, STAGE, "done") == 3
            assert growth(ASSETS, STAGE, "failed") == 0
            assert growth(COMPLETIONS, STAGE, "all") == 1
            assert growth(COMPLETION_SECONDS) == 1
            assert growth(HANDLER_TIME, "items", ITEMS) == 3
            assert growth(HANDLER_TIME, "plans", PLANS) == 1
            assert growth(PHASE_MOVES, "tiny", "completed") == 1
            assert growth(JOB_SECONDS, "tiny") == 1
            assert TALLY.numbers().spreads[JOB_SECONDS.name, ("tiny",)][-1] >= 40
            assert growth(GROUP_SIZE) >= 3

    run(test())


def test_retries_dead_letters_and_lost_leases(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_house(tmp_path, stage_service(work)) as house:
            growth = counted()
            job_id = house.start()
            house.announce(job_id, 4)
            house.send(job_id, "bad")
            house.send(job_id, "good", "bad too")
            house.send(job_id, "odd")
            await house.run_dry()
            assert growth(RETRIES, ITEMS) == 4
            assert growth(DEAD_LETTERS, ITEMS) == 3 == len(house.letters())
            assert growth(ASSETS, STAGE, "failed") == 3
            assert growth(ASSETS, STAGE, "done") == 1
            assert growth(LEASE_LOSSES, ITEMS) == 0
            house.send(job_id, "odd one")
            delivery = await house.take_one(ITEMS)
            await house.crash(delivery)
            await house.handle(await house.take_one(ITEMS))
            await house.handle(delivery)
            assert growth(LEASE_LOSSES, ITEMS) == 1

    run(test())


def test_what_the_relay_carries(tmp_path: Path) -> None:
    async def carried(house: House) -> None:
        growth = counted()
        job_id = house.start()
        house.announce(job_id, 1)
        house.send(job_id, "a")
        house.clock.advance(2)
        await house.settle()
        await house.relay.publish_batch()
        assert growth(PUBLISHED) == 3
        assert growth(COMPLETION_SECONDS) == 1
        house.send(job_id, "lost")
        await house.relay.publish_batch()
        house.clock.advance(301)
        assert await house.relay.republish_unconsumed() == 1
        assert growth(REPUBLISHED) == 1

    async def test() -> None:
        async with open_house(tmp_path, stage_service(work), in_memory=True) as house:
            await carried(house)

    asyncio.run(test())
