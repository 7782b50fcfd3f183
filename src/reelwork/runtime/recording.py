"""What a group of deliveries has finished, on its way into the ledger.

The outcomes of a job go in one work, with the acknowledgements of the deliveries that they end. Where it is refused
every delivery is tried with a work of its own, so that none pays for its neighbour.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import structlog

from reelwork.broker import Delivery
from reelwork.ledger import AssetOutcome, Completion, StageUpdate, Work
from reelwork.runtime import tracing
from reelwork.runtime.declaration import Stage, Subscription
from reelwork.runtime.log import named, named_assets
from reelwork.runtime.metrics.catalogue import DEAD_LETTERS
from reelwork.runtime.outcome import AssetsFailed, dead_letter, describe, inbox_of, unless_consumed
from reelwork.runtime.recorder import Results
from reelwork.runtime.stage_run import StageRun

if TYPE_CHECKING:
    from reelwork.runtime.handling import Handling

log = structlog.get_logger("reelwork.worker")


class Entry(NamedTuple):
    """Some outcomes of a delivery. `ends_it`: every one of its assets was tried."""

    run: StageRun
    outcomes: list[AssetOutcome]
    ends_it: bool


class Recording:
    """assets_waiting: ended, and not yet on their way. seconds_waited: how long the group waited for the ledger."""

    def __init__(self, handling: Handling, subscription: Subscription, stage: Stage) -> None:
        self._handling = handling
        self._subscription = subscription
        self._stage = stage
        self._ended: list[StageRun] = []
        self._task: asyncio.Task[Results] | None = None
        self.assets_waiting = 0
        self.seconds_waited = 0.0

    @property
    def is_busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def end(self, run: StageRun) -> None:
        """Takes in a delivery whose assets were all tried; thread-safe."""
        self.assets_waiting += len(run.outcomes)
        self._ended.append(run)

    async def begin(self, current: StageRun | None = None) -> None:
        """Begins to record what has ended, and what the current delivery has so far, when the last time is over."""
        await self.finish()
        entries = self._entries(current)
        if entries:
            self._task = asyncio.create_task(self._record(entries, []))

    async def record(self, current: StageRun | None = None) -> None:
        """As `begin`, and returns when it is done."""
        await self.begin(current)
        await self.finish()

    async def mark(self, current: StageRun, started: StageUpdate) -> None:
        """Records the mark of a started asset together with everything that has finished. Raises when it cannot."""
        await self.finish()
        (result,) = await self._record(self._entries(current), [Work(stages=[started])])
        if isinstance(result, Exception):
            raise result

    def _entries(self, current: StageRun | None) -> list[Entry]:
        ended, self._ended = self._ended, []
        self.assets_waiting = 0
        entries = [Entry(run, run.take_outcomes(), ends_it=True) for run in ended]
        if current is not None and current.outcomes:
            entries.append(Entry(current, current.take_outcomes(), ends_it=False))
        return entries

    async def finish(self) -> None:
        """Returns when everything that was begun is recorded."""
        task, self._task = self._task, None
        if task is not None:
            started = self._handling.world.monotonic()
            await task
            self.seconds_waited += self._handling.world.monotonic() - started

    async def _record(self, entries: Sequence[Entry], others: Sequence[Work]) -> Results:
        """Returns what became of the other works."""
        parts = self._parts([entry for entry in entries if entry.run.error is None])
        works = [*(self._work(part) for part in parts), *others]
        results = await self._handling.recorder.commit_all(works) if works else []
        for part, result in zip(parts, results, strict=False):
            await self._see_to(part, result)
        for entry in entries:
            if entry.ends_it and not entry.run.is_over and entry.run.error is not None:
                await self.give_up(entry.run, entry.run.error)
        return results[len(parts) :]

    def _parts(self, entries: Sequence[Entry]) -> list[list[Entry]]:
        """Entries that share a work: those of one job, but for dead letters."""
        parts: list[list[Entry]] = []
        of_job: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.ends_it and entry.run.failed and not entry.run.transient:
                parts.append([entry])
            else:
                of_job.setdefault(entry.run.event.job_id, []).append(entry)
        return [*parts, *of_job.values()]

    def _work(self, entries: Sequence[Entry]) -> Work:
        first = entries[0].run
        outcomes = [outcome for entry in entries for outcome in entry.outcomes]
        updates = [self._handling.stages.outcomes(first.event.job_id, self._stage.name, outcomes)] if outcomes else []
        runs = [entry.run for entry in entries if entry.ends_it and not entry.run.transient]
        ended = [run.delivery for run in runs]
        receipts = [delivery.receipt for delivery in ended if delivery.receipt is not None]
        if len(ended) == 1 and first.failed and not first.transient:
            error = "; ".join(f"{asset_id}: {why}" for asset_id, why in first.failed.items())
            attempts = first.delivery.attempts + 1
            names = {**named(self._subscription, first.delivery), **named_assets(first.failed)}
            log.error("reelwork.worker.dead_letter", **names, error=error)
            letter = dead_letter(first.delivery, error, attempts, stage=self._stage.name)
            unless = unless_consumed(first.delivery)
            return Work(stages=updates, dead_letters=[letter], unless_consumed=unless, receipts=receipts)
        # Where the acknowledgement is part of the work there is no second copy of the message to be recognised. A copy
        # must not stand for a replay of its dead letter, which may still be on its way.
        consumed = [inbox_of(run.delivery) for run in runs if run.delivery.receipt is None and not run.is_copy]
        return Work(stages=updates, consumed=consumed, receipts=receipts)

    async def _see_to(self, part: Sequence[Entry], result: list[Completion] | Exception) -> None:
        if not isinstance(result, Exception):
            self._trace(part, result)
            await self._end([entry.run for entry in part if entry.ends_it])
        elif len(part) == 1:
            part[0].run.error = part[0].run.error or result
        else:
            results = await self._handling.recorder.commit_all([self._work([entry]) for entry in part])
            for entry, own in zip(part, results, strict=True):
                await self._see_to([entry], own)

    @staticmethod
    def _trace(part: Sequence[Entry], completions: Sequence[Completion]) -> None:
        if not tracing.is_on():
            return
        for entry in part:
            events = [event for outcome in entry.outcomes for event in outcome.events]
            tracing.caused([entry.run.delivery], events, [])
        tracing.caused([entry.run.delivery for entry in part], [], completions)

    async def _end(self, runs: Sequence[StageRun]) -> None:
        ended = [run for run in runs if not run.transient]
        for run in ended:
            run.is_over = True
            if run.failed:
                DEAD_LETTERS.count(run.delivery.queue)
        for run in ended if tracing.is_on() else ():
            failed = len(run.failed)
            tracing.handled(self._subscription, run.delivery, started_ns=run.started_ns, assets=run.told, failed=failed)
        await self._acknowledge([run.delivery for run in ended if run.delivery.receipt is None])
        for run in runs:
            if run.transient:
                await self.give_up(run, AssetsFailed(run.transient))

    async def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        try:
            await self._handling.broker.ack(deliveries)
        except Exception as error:  # they come again, and find everything recorded
            log.warning(
                "reelwork.worker.ack_failed",
                queue=self._subscription.queue,
                deliveries=len(deliveries),
                error=str(error),
            )

    async def give_up(self, run: StageRun, error: Exception) -> None:
        """The delivery cannot end well this time."""
        run.is_over = True
        try:
            await self._handling.see_to(self._subscription, run.delivery, error)
            tracing.handled(
                self._subscription,
                run.delivery,
                started_ns=run.started_ns,
                assets=run.told + len(run.transient),
                failed=len(run.failed) + len(run.transient),
                error=describe(error),
            )
        except Exception as failure:
            # Its lease ends and another worker gets it: a crash costs time, never a message.
            names = named(self._subscription, run.delivery)
            log.exception("reelwork.worker.delivery_abandoned", **names, error=str(failure))
