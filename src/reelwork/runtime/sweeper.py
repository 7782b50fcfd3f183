"""Finds what no message will bring about: due watermarks, changed thresholds, settled phases, unconsumed events,
messages that the broker gave up on, orphans.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import structlog

from reelwork.broker import DELIVERIES_MAX, Broker
from reelwork.errors import JobNotFound, PermanentError, StoreUnavailable
from reelwork.ledger import BaseJobProgressManager, Completion, JobStatus, Ledger, StageStatus, StageUpdate, Work
from reelwork.objects import ObjectStore
from reelwork.runtime import tracing
from reelwork.runtime.burial import Burial
from reelwork.runtime.conductor import Conductor
from reelwork.runtime.declaration import Catalogue
from reelwork.runtime.metrics.catalogue import SWEEPS
from reelwork.runtime.orphans import Orphans
from reelwork.runtime.recorder import Recorder
from reelwork.runtime.relay import Relay
from reelwork.runtime.world import World

GIVEN_UP_MAX: Final = 100  # in one sweep

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
        self._orphans = Orphans(ledger, objects, world=world)
        self._catalogue = catalogue
        self._stages = stages
        self._conductor = conductor
        self._relay = relay
        self._recorder = recorder
        self._world = world
        self._burial = Burial(ledger, recorder=recorder, stages=stages, world=world)
        self._sweep_seconds = sweep_seconds
        self._watermark_max_ms = round(watermark_max_seconds * 1000)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.sweep()
            try:
                async with asyncio.timeout(self._sweep_seconds):
                    await stop.wait()
            except TimeoutError:
                continue

    async def sweep(self) -> list[Completion]:
        """One round; returns the completions that it fired. A part that fails is told of, and the others go on."""
        completions: list[Completion] = []
        await self._part("watermarks", self._expire_watermarks(completions))
        await self._part("policies", self._reevaluate(completions))
        await self._part("phases", self._recorder.read(self._conductor.sweep))
        if not self._broker.transactional:
            await self._part("messages given up", self._bury_given_up())
            await self._part("unconsumed events", self._relay.republish_unconsumed())
        await self._part("orphans", self._recorder.read(self._orphans.remove))
        return completions

    async def _part(self, name: str, part: Coroutine[Any, Any, object]) -> None:
        try:
            await part
            SWEEPS.count(name, "done")
        except StoreUnavailable as error:
            SWEEPS.count(name, "failed")
            log.warning("reelwork.sweeper.failed", part=name, error=str(error))
        except Exception as error:  # one thing it stumbles over must not stop the whole node
            SWEEPS.count(name, "failed")
            log.exception("reelwork.sweeper.failed", part=name, error=str(error))

    async def _bury_given_up(self) -> None:
        """Dead letters of what the broker gave up on by itself; one that cannot be buried must not hold up the rest."""
        subscriptions = {subscription.queue: subscription for subscription in self._catalogue.subscriptions}
        error = PermanentError(f"the broker gave it up after {DELIVERIES_MAX} deliveries without an outcome")
        for delivery in await self._broker.given_up(limit=GIVEN_UP_MAX):
            names = {"queue": delivery.queue, "job_id": delivery.message.job_id}
            log.error("reelwork.sweeper.dead_letter", **names)
            try:
                await self._burial.bury(subscriptions.get(delivery.queue), delivery, error, delivery.attempts + 1)
            except StoreUnavailable:
                raise
            except Exception as failure:
                log.exception("reelwork.sweeper.burial_failed", error=str(failure), **names)

    async def _expire_watermarks(self, completions: list[Completion]) -> None:
        for stage in await self._recorder.read(self._ledger.due_stages):
            if await self._is_held_back(stage):
                update = self._stages.postponement(stage.job_id, stage.stage, postpone_max_ms=self._watermark_max_ms)
            else:
                update = self._stages.expiry(stage.job_id, stage.stage)
            await self._commit(update, completions)

    async def _commit(self, update: StageUpdate, completions: list[Completion]) -> None:
        """One stage that the ledger refuses does not keep the others waiting."""
        try:
            fired = await self._recorder.commit(Work(stages=[update]))
            tracing.swept(fired)
            completions += fired
        except StoreUnavailable:
            raise
        except Exception as error:
            log.exception("reelwork.sweeper.stage_failed", job_id=update.job_id, stage=update.stage, error=str(error))

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

    async def _reevaluate(self, completions: list[Completion]) -> None:
        """A policy may have changed since the last news of a stage."""
        after = None
        while page := await self._recorder.read(lambda: self._ledger.open_stages(after=after)):  # noqa: B023
            for stage in page:
                if self._stages.is_due(stage, now_ms=self._world.now_ms(), with_watermark=False):
                    update = self._stages.reevaluation(stage.job_id, stage.stage)
                    await self._commit(update, completions)
                elif await self._has_fallen_short(stage):
                    update = self._stages.expiry(stage.job_id, stage.stage)
                    await self._commit(update, completions)
            after = (page[-1].job_id, page[-1].stage)

    async def _has_fallen_short(self, stage: StageStatus) -> bool:
        """A stage that needs all its assets settled without them, and something else brought its job back."""
        if not stage.is_settled or await self._is_held_back(stage):
            return False
        try:
            job = await self._recorder.read(self._ledger.job, stage.job_id)
        except JobNotFound:
            return False
        return job.status is JobStatus.RUNNING
