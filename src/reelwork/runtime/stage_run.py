"""One delivery of a stage: its assets are handled one after another and recorded as they finish.

A crash anywhere costs time, never an asset: what is recorded is skipped the next time, and an asset under suspicion of
killing its worker is marked before it is touched, so that only it uses up its attempts.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from reelwork.broker import Delivery
from reelwork.errors import InvalidWork, PermanentError, StoreUnavailable
from reelwork.events import Asset, AssetEvent
from reelwork.ledger import AssetOutcome, AssetState, Job, StageUpdate, Work
from reelwork.ledger.records import Known
from reelwork.runtime.context import Context, WorkCancelled
from reelwork.runtime.declaration import Stage, Subscription
from reelwork.runtime.outcome import (
    AssetsFailed,
    HandlerTimeout,
    contained,
    dead_letter,
    describe,
    inbox_of,
    is_resolved,
    within,
)

if TYPE_CHECKING:
    from reelwork.runtime.handling import Handling

CRASHES_MAX: Final = 3
RECORD_EVERY_SECONDS: Final = 0.2

log = structlog.get_logger("reelwork.worker")


class StageRun:
    """One delivery of a stage: its assets, one after another, each recorded as it finishes."""

    def __init__(
        self,
        handling: Handling,
        subscription: Subscription,
        stage: Stage,
        delivery: Delivery,
        event: AssetEvent,
        job: Job,
        cancelled: threading.Event,
    ) -> None:
        self._handling = handling
        self._subscription = subscription
        self._stage = stage
        self._delivery = delivery
        self._event = event
        self._job = job
        self._cancelled = cancelled
        self._transient: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._taken = 0

    async def run(self) -> None:
        handling, event = self._handling, self._event
        assets = event.assets()
        ids = [asset.asset_id for asset in assets]
        known = await handling.recorder.read(handling.ledger.known_assets, event.job_id, self._stage.name, ids)
        is_replay = self._delivery.message.is_replay
        waiting = [asset for asset in assets if not is_resolved(known.get(asset.asset_id), is_replay=is_replay)]
        # What hung or killed its worker before comes last, or its neighbours would never have their turn.
        waiting.sort(key=lambda asset: _attempts(known, asset))
        self._failed = {
            asset.asset_id: "failed in an earlier delivery"
            for asset in assets
            if asset not in waiting and known[asset.asset_id].state is AssetState.FAILED
        }
        outcomes: list[AssetOutcome] = []
        while waiting:
            if self._cancelled.is_set():
                raise WorkCancelled
            outcomes = await self._next_outcomes(waiting, known)
            del waiting[: self._taken]
            if waiting or self._transient:
                await self._record(outcomes)
                outcomes = []
        await self._end(outcomes)

    async def _next_outcomes(self, waiting: Sequence[Asset], known: Mapping[str, Known]) -> list[AssetOutcome]:
        """The outcomes of the next few assets; after a crash, of one, with a mark set before it is touched."""
        if not self._delivery.is_suspect:
            return await self._work(waiting)
        first = waiting[0]
        attempts = _attempts(known, first)
        if attempts >= CRASHES_MAX:
            self._taken = 1
            error = f"its worker died {attempts} times while working on it"
            self._failed[first.asset_id] = error
            return [AssetOutcome(first.asset_id, AssetState.FAILED, weight=first.weight, error=error)]
        mark = self._handling.stages.started(self._event.job_id, self._stage.name, [first.asset_id])
        await self._handling.recorder.commit(Work(stages=[mark]))
        return await self._work(waiting[:1])

    async def _work(self, assets: Sequence[Asset]) -> list[AssetOutcome]:
        handler = self._subscription.handler
        if inspect.iscoroutinefunction(handler):
            self._taken = 1
            return await self._work_inline(assets[0])
        seconds = self._handling.timeout_of(self._subscription) + RECORD_EVERY_SECONDS
        outcomes: list[AssetOutcome] = []
        loop = asyncio.get_running_loop()
        in_thread = loop.run_in_executor(self._handling.threads, self._work_in_thread, assets, outcomes)
        try:
            await within(seconds, in_thread, queue=self._subscription.queue)
        except HandlerTimeout:
            with contextlib.suppress(StoreUnavailable):
                await self._record_hang(list(outcomes), assets[self._taken - 1])
            raise
        return outcomes

    async def _record_hang(self, outcomes: list[AssetOutcome], hung: Asset) -> None:
        """Keeps what the thread has finished, and marks the asset that it hangs in."""
        mark = self._handling.stages.started(self._event.job_id, self._stage.name, [hung.asset_id])
        await self._handling.recorder.commit(Work(stages=[self._update(outcomes), mark]))

    async def _work_inline(self, asset: Asset) -> list[AssetOutcome]:
        context = self._handling.context(self._job, self._cancelled, asset)
        try:
            result = await self._handling.call(self._subscription, self._event, context)
            return [self._done(asset, result, context)]
        except WorkCancelled:
            raise
        except Exception as error:
            return self._failure(asset, error)

    def _work_in_thread(self, assets: Sequence[Asset], outcomes: list[AssetOutcome]) -> None:
        """As many assets as fit between two recordings, with one thread hop for all of them."""
        assert self._subscription.handler is not None
        self._taken = 0
        until = time.monotonic() + RECORD_EVERY_SECONDS
        for asset in assets:
            self._taken += 1
            context = self._handling.context(self._job, self._cancelled, asset)
            try:
                result = contained(self._subscription.handler, self._event, context)
                outcomes.append(self._done(asset, result, context))
            except WorkCancelled:
                raise
            except Exception as error:
                outcomes += self._failure(asset, error)
            if time.monotonic() >= until:
                break

    def _done(self, asset: Asset, result: Any, context: Context) -> AssetOutcome:
        """Raises InvalidWork for a result that the ledger would refuse together with the neighbours' results."""
        if result is not None and not isinstance(result, Mapping):
            raise InvalidWork(
                f"the handler of {self._subscription.queue} must return a dict or None, not {result!r:.80}"
            )
        outcome = AssetOutcome(asset.asset_id, AssetState.DONE, asset.weight, result, None, context.events)
        Work(stages=[self._update([outcome])]).validate()
        return outcome

    def _failure(self, asset: Asset, error: Exception) -> list[AssetOutcome]:
        if not isinstance(error, PermanentError | InvalidWork):
            self._transient[asset.asset_id] = describe(error)
            return []
        self._failed[asset.asset_id] = describe(error)
        return [AssetOutcome(asset.asset_id, AssetState.FAILED, weight=asset.weight, error=describe(error))]

    async def _record(self, outcomes: list[AssetOutcome]) -> None:
        if outcomes:
            await self._handling.recorder.commit(Work(stages=[self._update(outcomes)]))

    def _update(self, outcomes: list[AssetOutcome]) -> StageUpdate:
        return self._handling.stages.outcomes(self._event.job_id, self._stage.name, outcomes)

    async def _end(self, outcomes: list[AssetOutcome]) -> None:
        if self._transient:
            raise AssetsFailed(self._transient)
        updates = []
        if outcomes:
            updates.append(self._update(outcomes))
        if self._failed:
            error = "; ".join(f"{asset_id}: {why}" for asset_id, why in self._failed.items())
            log.error("reelwork.worker.dead_letter", queue=self._delivery.queue, job_id=self._job.job_id, error=error)
            letter = dead_letter(self._delivery, error, self._delivery.attempts + 1, stage=self._stage.name)
            work = Work(stages=updates, dead_letters=[letter])
        else:
            work = Work(stages=updates, inbox=inbox_of(self._delivery))
        await self._handling.finish(self._delivery, work)


def _attempts(known: Mapping[str, Known], asset: Asset) -> int:
    before = known.get(asset.asset_id)
    return 0 if before is None else before.attempts
