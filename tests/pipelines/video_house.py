"""A whole job on a video in one process, with the real services of its pipeline.

Nothing here waits: a test hands out the deliveries itself, and its clock moves only when it says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from reelwork.broker import Broker, Faults, MemoryBroker, Topology
from reelwork.ledger import BaseJobProgressManager, Job, open_ledger
from reelwork.objects import open_objects
from reelwork.runtime import Catalogue, Pipeline
from reelwork.runtime.backends import Backends, open_backends
from reelwork.runtime.conductor import Conductor
from reelwork.runtime.intake import file_chunks, take_video
from reelwork.runtime.jobs import JobDetail, Jobs
from reelwork.runtime.recorder import Recorder
from reelwork.runtime.relay import Relay
from reelwork.runtime.world import World
from reelwork.settings import Config
from tests.clock import ManualClock
from tests.house import with_database

WAIT_SECONDS_MAX = 60.0


@dataclass(kw_only=True)
class VideoHouse:
    backends: Backends
    clock: ManualClock
    threads: ThreadPoolExecutor
    relay: Relay

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.backends.ledger, self.backends.catalogue)

    async def submit(self, clip: Path, **parameters: Any) -> str:
        (name,) = self.backends.catalogue.pipelines
        checked = self.jobs.check(name, parameters)
        job_id = uuid4()
        stored = await take_video(self.backends.objects, job_id, file_chunks(clip), bytes_max=1 << 30)
        known = stored.job_parameters(checked)
        return self.jobs.create(name, job_id=job_id, input_path=stored.key, parameters=known)

    async def step(self, *queues: str, watch: Callable[[], None] = lambda: None) -> int:
        """Handles what can be taken now; returns how many deliveries that were."""
        count = 0
        for subscription in self.backends.catalogue.subscriptions:
            if queues and subscription.queue not in queues:
                continue
            await self.relay.publish_batch()
            for delivery in await self.backends.broker.receive(subscription.queue, limit=100, wait_seconds=0):
                await self.backends.handling(self.threads).handle(subscription, delivery)
                count += 1
                watch()
        return count

    async def finish(self, job_id: str, watch: Callable[[], None] = lambda: None) -> Job:
        """Works until the job is over."""
        for _ in range(80):
            while await self.step(watch=watch):
                pass
            await self.backends.sweeper(self.relay).sweep()
            watch()
            job = self.backends.ledger.job(job_id)
            if job.status.is_terminal:
                return job
            self.clock.advance(100)
        raise AssertionError(f"the job is not over: {job}")

    async def finish_again(self, job_id: str) -> Job:
        """As `finish`, of a job that something of it brings back."""
        while await self.step():
            pass
        return await self.finish(job_id)

    def topics(self, job_id: str) -> list[str]:
        return [row.topic for row in self.backends.ledger.outbox(job_id)]

    def detail(self, job_id: str) -> JobDetail:
        return self.jobs.detail(job_id)


@asynccontextmanager
async def open_video_house(
    folder: Path, pipeline: Pipeline, *, faults: Faults | None = None, seed: int = 0
) -> AsyncIterator[VideoHouse]:
    clock = ManualClock()
    with ThreadPoolExecutor(1) as executor, ThreadPoolExecutor(2) as threads:
        world = World(clock=clock, random=Random(seed), executor=executor)
        config, catalogue = Config(REELWORK_DATA_DIR=with_database(folder)), Catalogue.of([pipeline])
        if faults is None:
            backends = await open_backends(config, catalogue=catalogue, world=world)
        else:
            broker = MemoryBroker(clock=clock, faults=faults, seed=seed)
            backends = await behind_a_relay(config, catalogue, world, broker)
        try:
            yield VideoHouse(backends=backends, clock=clock, threads=threads, relay=backends.relay())
        finally:
            await backends.close()


async def behind_a_relay(config: Config, catalogue: Catalogue, world: World, broker: Broker) -> Backends:
    await broker.declare(Topology.of(catalogue.bindings()))
    ledger = open_ledger(config.database_url, clock=world.clock)
    conductor = Conductor(ledger, catalogue, world=world, settle_seconds=0)
    return Backends(
        config=config,
        catalogue=catalogue,
        ledger=ledger,
        broker=broker,
        objects=open_objects(config.objects_url),
        stages=BaseJobProgressManager(stages=catalogue.stage_rules),
        conductor=conductor,
        recorder=Recorder(ledger, world=world, after_completion=conductor.advance),
        world=world,
    )


def run(test: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await test

    asyncio.run(bounded())
