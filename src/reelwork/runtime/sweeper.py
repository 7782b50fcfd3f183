"""Finds what no message will bring about: due watermarks, changed thresholds, settled phases, unconsumed events,
orphans.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

import structlog

from reelwork.broker import Broker
from reelwork.errors import JobNotFound, StoreUnavailable
from reelwork.ledger import AssetState, BaseJobProgressManager, Completion, Job, JobStatus, Ledger, StageStatus, Work
from reelwork.objects import ObjectStore
from reelwork.objects.keys import stages_prefix
from reelwork.runtime.conductor import Conductor
from reelwork.runtime.declaration import Catalogue
from reelwork.runtime.recorder import Recorder
from reelwork.runtime.relay import Relay
from reelwork.runtime.world import World

ORPHAN_AGE_SECONDS: Final = 3_600
JOBS_PER_SWEEP_MAX: Final = 20

log = structlog.get_logger("reelwork.sweeper")


class Sweeper:
    """Any number of sweepers may run; each finding is a compare-and-set in the ledger.

    watermark_max_seconds: how long queued or running work can hold a due watermark back, from the birth of its stage.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        broker: Broker,
        objects: ObjectStore,
        catalogue: Catalogue,
        stages: BaseJobProgressManager,
        conductor: Conductor,
        relay: Relay,
        recorder: Recorder,
        world: World,
        sweep_seconds: float,
        watermark_max_seconds: float,
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._objects = objects
        self._catalogue = catalogue
        self._stages = stages
        self._conductor = conductor
        self._relay = relay
        self._recorder = recorder
        self._world = world
        self._sweep_seconds = sweep_seconds
        self._watermark_max_ms = round(watermark_max_seconds * 1000)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.sweep()
            except StoreUnavailable as error:
                log.warning("reelwork.sweeper.failed", error=str(error))
            except Exception as error:  # one thing it stumbles over must not stop the whole node
                log.exception("reelwork.sweeper.failed", error=str(error))
            try:
                async with asyncio.timeout(self._sweep_seconds):
                    await stop.wait()
            except TimeoutError:
                continue

    async def sweep(self) -> list[Completion]:
        """One round; returns the completions that it fired."""
        completions = await self._expire_watermarks()
        completions += await self._reevaluate()
        await self._recorder.read(self._conductor.sweep)
        if not self._broker.transactional:
            await self._relay.republish_unconsumed()
        await self._recorder.read(self._remove_orphans)
        return completions

    async def _expire_watermarks(self) -> list[Completion]:
        completions: list[Completion] = []
        for stage in await self._recorder.read(self._ledger.due_stages):
            if await self._is_held_back(stage):
                update = self._stages.postponement(stage.job_id, stage.stage, postpone_max_ms=self._watermark_max_ms)
            else:
                update = self._stages.expiry(stage.job_id, stage.stage)
            completions += await self._recorder.commit(Work(stages=[update]))
        return completions

    async def _is_held_back(self, stage: StageStatus) -> bool:
        """Nothing more is coming only if nothing of the stage waits in a queue, is being worked on, is still to be
        published, or was lost on its way and is to be published again.
        """
        if self._world.now_ms() >= stage.created_at + self._watermark_max_ms:
            return False
        bindings = self._catalogue.bindings_feeding(stage.stage)
        if await self._broker.holds(stage.job_id, [queue for _, queue in bindings]):
            return True
        if self._broker.transactional:  # what is in the outbox is in its queue
            return False
        return await self._recorder.read(self._ledger.awaits, stage.job_id, bindings)

    async def _reevaluate(self) -> list[Completion]:
        """A policy may have changed since the last news of a stage."""
        completions: list[Completion] = []
        after = None
        while page := await self._recorder.read(lambda: self._ledger.open_stages(after=after)):  # noqa: B023
            for stage in page:
                if self._stages.is_due(stage, now_ms=self._world.now_ms(), with_watermark=False):
                    update = self._stages.reevaluation(stage.job_id, stage.stage)
                    completions += await self._recorder.commit(Work(stages=[update]))
                elif await self._has_fallen_short(stage):
                    update = self._stages.expiry(stage.job_id, stage.stage)
                    completions += await self._recorder.commit(Work(stages=[update]))
            after = (page[-1].job_id, page[-1].stage)
        return completions

    async def _has_fallen_short(self, stage: StageStatus) -> bool:
        """A stage that needs all its assets settled without them, and something else brought its job back."""
        if not stage.is_settled or await self._is_held_back(stage):
            return False
        try:
            job = await self._recorder.read(self._ledger.job, stage.job_id)
        except JobNotFound:
            return False
        return job.status is JobStatus.RUNNING

    def _remove_orphans(self) -> None:
        """Removes what attempts wrote that do not count, once a job has been over for a while."""
        ended_before_ms = self._world.now_ms() - ORPHAN_AGE_SECONDS * 1000
        for job in self._ledger.unswept_jobs(ended_before_ms=ended_before_ms, limit=JOBS_PER_SWEEP_MAX):
            orphans = set(self._objects.keys(stages_prefix(job.job_id))) - self._named_objects(job)
            self._objects.delete(sorted(orphans))
            self._ledger.mark_swept(job.job_id)
            log.info("reelwork.sweeper.orphans", job_id=job.job_id, removed=len(orphans))

    def _named_objects(self, job: Job) -> set[str]:
        named: set[str] = set()
        for stage in self._ledger.stage_status(job.job_id):
            for asset in self._ledger.assets(job.job_id, stage.stage, states=[AssetState.DONE]):
                named.update(_texts(asset.result))
        return named


def _texts(result: Any) -> Iterator[str]:
    """Every text in the result of an asset, however deep: any may be the key of an object."""
    if isinstance(result, str):
        yield result
    elif isinstance(result, Mapping | list):
        for value in result.values() if isinstance(result, Mapping) else result:
            yield from _texts(value)
