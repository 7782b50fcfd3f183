"""Some deliveries of a stage, handled one after another, as if they were one message with all their assets.

One look at the ledger goes before them, one thread hop goes through as many of them as its time allows, and one work
records them. Those not begun yet are handed back when the others take longer than was hoped, or the worker is to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from reelwork.broker import DELIVERIES_MAX, Delivery
from reelwork.errors import JobNotFound, PermanentError
from reelwork.events import Asset, AssetEvent
from reelwork.ledger import Job, JobStatus, Work
from reelwork.ledger.records import Known
from reelwork.runtime import tracing
from reelwork.runtime.context import Context, WorkCancelled
from reelwork.runtime.declaration import Subscription
from reelwork.runtime.job_births import begin_jobs
from reelwork.runtime.log import AT_WORK, AtWork, named
from reelwork.runtime.metrics.catalogue import HANDLER_TIME
from reelwork.runtime.outcome import HandlerTimeout, contained, describe, event_of, run_inline, within
from reelwork.runtime.recording import Recording
from reelwork.runtime.stage_run import JobAtHand, StageRun

if TYPE_CHECKING:
    from reelwork.runtime.handling import Handling

RECORD_EVERY_SECONDS: Final = 0.2
RECORD_ASSETS: Final = 500  # a transaction of some milliseconds
HOLD_SECONDS_MAX: Final = 0.2
YIELD_EVERY_SECONDS: Final = 0.002

log = structlog.get_logger("reelwork.worker")


class StageGroup:
    """begun: how many of the deliveries were worked on. seconds_busy: how long that took, without waiting for the
    ledger.
    """

    def __init__(self, handling: Handling, subscription: Subscription, deliveries: Sequence[Delivery]) -> None:
        assert subscription.stage is not None
        assert subscription.handler is not None
        self._handling = handling
        self._now = handling.world.monotonic
        self._subscription = subscription
        self._stage = subscription.stage
        self._handler = subscription.handler
        self._runs = [StageRun(delivery) for delivery in deliveries]
        self._waiting = deque(self._runs)
        self._twins: list[StageRun] = []
        self._current: StageRun | None = None
        self._recording = Recording(handling, subscription, subscription.stage)
        self._jobs: dict[str, JobAtHand] = {}
        self._attempt = ""
        self._calls = 0
        self._handing_back: list[asyncio.Task[None]] = []
        self._is_hung = False
        self._is_marked = False
        self._is_traced = tracing.is_on()
        self._trying: Asset | None = None
        self.begun = 0
        self.seconds_busy = 0.0

    async def run(self) -> None:
        """Takes every delivery to its end: acknowledged, retried, dead-lettered or handed back.

        Raises HandlerTimeout after the deliveries have been seen to, for the worker to replace its process. Cancelled,
        it hands back what it has: its handler was not waited for, but did no harm.
        """
        async with self._kept():
            try:
                await self._work()
                self._count()
                await self._recording.record()
            except asyncio.CancelledError:
                await self._release([run for run in self._runs if not run.is_over])
                raise

    def _count(self) -> None:
        if self._calls:
            service, queue = self._subscription.service, self._subscription.queue
            HANDLER_TIME.observe(self.seconds_busy / self._calls, service, queue, times=self._calls)

    async def hand_back(self) -> None:
        """Gives what was not begun to the next worker; where that fails, its lease ends."""
        handing_back = asyncio.create_task(self._hand_back())
        self._handing_back.append(handing_back)
        await asyncio.shield(handing_back)  # cut off in the middle it would be nobody's until its lease ends

    async def _hand_back(self) -> None:
        left = []
        with contextlib.suppress(IndexError):
            while True:
                left.append(self._waiting.pop())
        await self._release(left + self._twins)
        self._twins = []

    async def _release(self, runs: Sequence[StageRun]) -> None:
        for run in runs:
            run.is_over = True
        if runs:
            await self._handling.hand_back([run.delivery for run in runs])

    @contextlib.asynccontextmanager
    async def _kept(self) -> AsyncIterator[None]:
        keepers = [asyncio.create_task(self._keep())]
        if len(self._runs) > 1:
            keepers.append(asyncio.create_task(self._hold()))
        try:
            yield
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, *self._handing_back, return_exceptions=True)

    async def _hold(self) -> None:
        """So long may what was not begun wait for what was; longer, and another worker may be idle meanwhile."""
        await self._handling.world.sleep(HOLD_SECONDS_MAX)
        await self.hand_back()

    async def _keep(self) -> None:
        """Renews the leases of all, postpones the watermarks of their stages, and hears of cancelled jobs."""
        while True:
            await self._handling.world.sleep(self._runs[0].delivery.lease_seconds / 3)
            at_hand = [run.delivery for run in self._runs if not run.is_over]
            try:
                await self._handling.keep(self._stage, at_hand)
                jobs = await self._handling.recorder.read(self._handling.ledger.find_jobs, list(self._jobs))
            except Exception as error:
                log.warning("reelwork.worker.heartbeat_failed", queue=self._subscription.queue, error=describe(error))
                continue
            for job_id, job in jobs.items():
                if job.status is JobStatus.CANCELLED:
                    self._jobs[job_id].cancelled.set()

    async def _work(self) -> None:
        while self._waiting:
            await self._prepare()
            started = self._now() + self._recording.seconds_waited
            if inspect.iscoroutinefunction(self._handler):
                await self._work_inline()
            else:
                await self._work_in_threads()
            self.seconds_busy += self._now() - started - self._recording.seconds_waited
            if self._twins:
                await self._recording.record()
                self._waiting.extend(self._twins)
                self._twins = []

    async def _prepare(self) -> None:
        """Reads the messages, and looks up what the ledger has of them, once for all."""
        self._attempt = self._handling.world.new_id().hex
        runs = list(self._waiting)
        await self._read(runs)
        sound = [run for run in runs if run.error is None]
        try:
            jobs, consumed, known = await self._handling.recorder.read(self._look_up, sound)
        except Exception as error:
            for run in sound:
                run.error = error
            return
        if self._subscription.makes_job is not None:
            jobs = await begin_jobs(self._handling, self._subscription, sound, jobs)
        self._jobs = {job_id: JobAtHand(job, self._handling.first_phase(job)) for job_id, job in jobs.items()}
        for run in (run for run in sound if run.error is None):
            try:
                self._judge(run, consumed, known[run.event.job_id])
            except Exception as error:
                run.error = error
        await self._announce([run for run in sound if run.error is None and run.assets])
        if any(run.delivery.is_suspect for run in runs):
            self._waiting = deque(sorted(self._waiting, key=lambda run: run.attempts_of_next))

    async def _announce(self, runs: Sequence[StageRun]) -> None:
        """What each message says of the number of its stage's assets, once for all of a job, before any is tried."""
        saying: dict[tuple[str, int], list[StageRun]] = {}
        for run in runs:
            announced = run.event.announced
            if announced is not None:
                saying.setdefault((run.event.job_id, announced), []).append(run)
        if not saying:
            return
        stages = self._handling.stages
        works = [Work(stages=[stages.announcement(job_id, self._stage.name, total)]) for job_id, total in saying]
        results = await self._handling.recorder.commit_all(works)
        for own, result in zip(saying.values(), results, strict=True):
            for run in own:
                run.error = result if isinstance(result, Exception) else None
            if not isinstance(result, Exception):
                tracing.caused([run.delivery for run in own], [], result)

    async def _read(self, runs: Sequence[StageRun]) -> None:
        taken: set[tuple[str, str]] = set()
        yield_at = self._now() + YIELD_EVERY_SECONDS
        for run in runs:
            run.is_twin = False
            try:
                event = event_of(self._subscription, run.delivery)
                assert isinstance(event, AssetEvent)
                run.read(event)
                if run.delivery.deliveries > DELIVERIES_MAX:
                    raise PermanentError(f"delivered {DELIVERIES_MAX} times without an outcome")
            except Exception as error:
                run.error = error
                continue
            for asset in run.assets:
                key = (event.job_id, asset.asset_id)
                if key in taken:
                    run.is_twin = True
                taken.add(key)
            if self._now() >= yield_at:
                await asyncio.sleep(0)
                yield_at = self._now() + YIELD_EVERY_SECONDS

    def _look_up(self, runs: Sequence[StageRun]) -> tuple[Mapping[str, Job], set[str], dict[str, Mapping[str, Known]]]:
        """The jobs, the messages that were seen to before, and what is known of the assets of each job."""
        ledger = self._handling.ledger
        # What is acknowledged in the ledger's own transaction has no copies; a replay comes for what was consumed.
        copies = [
            run.delivery.message.event_id
            for run in runs
            if run.delivery.receipt is None and not run.delivery.message.is_replay
        ]
        consumers = ledger.consumers(copies) if copies else {}
        asset_ids: dict[str, list[str]] = {}
        for run in runs:
            asset_ids.setdefault(run.event.job_id, []).extend(asset.asset_id for asset in run.assets)
        known = {job_id: ledger.known_assets(job_id, self._stage.name, ids) for job_id, ids in asset_ids.items()}
        consumed = {event_id for event_id, queues in consumers.items() if self._subscription.queue in queues}
        return ledger.find_jobs(sorted(asset_ids)), consumed, known

    def _judge(self, run: StageRun, consumed: set[str], known: Mapping[str, Known]) -> None:
        at_hand = self._jobs.get(run.event.job_id)
        if at_hand is None:
            run.error = JobNotFound(f"no job has the id {run.event.job_id}")
            return
        run.at_hand = at_hand
        if run.delivery.message.event_id in consumed:
            run.is_copy = True
            run.drop()
        elif at_hand.job.status is JobStatus.CANCELLED:
            self._drop(run)
        elif not self._subscription.takes(at_hand.job):
            run.drop()
        elif known:
            run.skip_resolved(known)

    def _next(self) -> StageRun | None:
        """The next delivery with something to be tried; called in threads too."""
        while not self._is_hung:
            try:
                run = self._waiting.popleft()
            except IndexError:
                return None
            if run.is_twin:
                self._twins.append(run)
                continue
            self.begun += 1
            if self._is_traced:
                run.started_ns = time.time_ns()
            if run.error is None and run.assets:
                self._current = run
                return run
            self._recording.end(run)
        return None

    def _goes_on(self, run: StageRun) -> bool:
        """Whether an asset of the delivery is to be tried now; what has none left has ended."""
        if run.assets and run.error is None and not run.at_hand.cancelled.is_set():
            return True
        if run.assets and run.error is None:
            self._drop(run)
        self._current = None
        self._recording.end(run)
        return False

    def _drop(self, run: StageRun) -> None:
        log.info("reelwork.worker.dropped", **named(self._subscription, run.delivery))
        run.drop()

    async def _work_inline(self) -> None:
        seconds = self._handling.timeout_of(self._subscription)
        yield_at = self._now() + YIELD_EVERY_SECONDS
        while (run := self._next()) is not None:
            while self._goes_on(run):
                if run.delivery.is_suspect and not await self._mark(run):
                    continue
                asset = run.assets.pop()
                context = self._context(run, asset)
                AT_WORK.set(AtWork(self._subscription, run.delivery, asset.asset_id))
                try:
                    result, rest = run_inline(self._handler, run.event, context)
                    if rest is not None:
                        result = await self._await_rest(run, rest, seconds)
                    run.succeed(self._stage.name, self._subscription.queue, asset, result, context)
                except WorkCancelled:
                    self._drop(run)
                except Exception as error:
                    run.fail(asset, error)
                AT_WORK.set(None)
                if self._now() >= yield_at:
                    await self._breathe(run)
                    yield_at = self._now() + YIELD_EVERY_SECONDS

    async def _await_rest(self, run: StageRun, rest: Awaitable[Any], seconds: float) -> Any:
        """Raises TimeoutError for a coroutine that takes too long: it is stopped, and its process stays."""
        if not self._recording.is_busy:
            await self._recording.begin(run)  # what has finished need not wait for what has not
        try:
            return await within(seconds, rest, queue=self._subscription.queue)
        except HandlerTimeout as error:
            raise TimeoutError(str(error)) from error

    async def _breathe(self, run: StageRun) -> None:
        """Lets others have their turn, and records what has become a group of its own.

        It waits for that: threads that both want to compute would only keep the database locked for longer.
        """
        if self._recording.assets_waiting + len(run.outcomes) >= RECORD_ASSETS:
            await self._recording.record(run)
        else:
            await asyncio.sleep(0)

    async def _work_in_threads(self) -> None:
        """As many assets as fit between two recordings, with one thread hop for all of them."""
        seconds = self._handling.timeout_of(self._subscription) + RECORD_EVERY_SECONDS
        while (run := self._current or self._next()) is not None:
            if not self._goes_on(run):
                continue
            if run.delivery.is_suspect and not await self._mark(run):
                continue
            in_thread = asyncio.get_running_loop().run_in_executor(self._handling.threads, self._work_in_thread)
            try:
                await within(seconds, in_thread, queue=self._subscription.queue)
            except HandlerTimeout as error:
                await self._end_hung(error)
                raise
            await self._recording.record(self._current)

    def _work_in_thread(self) -> None:
        until = self._now() + RECORD_EVERY_SECONDS
        while (run := self._current or self._next()) is not None:
            while self._goes_on(run):
                if run.delivery.is_suspect and not self._is_marked:
                    return
                self._is_marked = False
                self._try_in_thread(run)
                recordable = self._recording.assets_waiting + len(run.outcomes)
                if self._is_hung or recordable >= RECORD_ASSETS or self._now() >= until:
                    return

    def _try_in_thread(self, run: StageRun) -> None:
        asset = self._trying = run.assets.pop()
        context = self._context(run, asset)
        AT_WORK.set(AtWork(self._subscription, run.delivery, asset.asset_id))
        try:
            result = contained(self._handler, run.event, context)
            run.succeed(self._stage.name, self._subscription.queue, asset, result, context)
        except WorkCancelled:
            self._drop(run)
        except Exception as error:
            run.fail(asset, error)
        AT_WORK.set(None)

    async def _mark(self, run: StageRun) -> bool:
        """Marks an asset that may have killed its worker before it is touched; False when it is not to be touched."""
        if run.bury_killer():
            return False
        started = self._handling.stages.started(run.event.job_id, self._stage.name, [run.assets[-1].asset_id])
        try:
            await self._recording.mark(run, started)
        except Exception as error:
            run.error = error
            return False
        self._is_marked = True
        return True

    async def _end_hung(self, error: HandlerTimeout) -> None:
        """Keeps what the thread has finished, and marks the asset that it hangs in."""
        self._is_hung = True
        run = self._current
        assert run is not None
        assert self._trying is not None
        await self.hand_back()
        started = self._handling.stages.started(run.event.job_id, self._stage.name, [self._trying.asset_id])
        try:
            await self._recording.mark(run, started)
        except Exception as failure:  # the process must be replaced all the same
            names = named(self._subscription, run.delivery)
            log.warning("reelwork.worker.mark_failed", **names, asset_id=self._trying.asset_id, error=describe(failure))
        await self._recording.give_up(run, error)

    def _context(self, run: StageRun, asset: Asset) -> Context:
        self._calls += 1
        return Context(
            job=run.at_hand.job,
            attempt=f"{self._attempt}-{self._calls}",
            objects=self._handling.objects,
            ledger=self._handling.ledger,
            asset=asset,
            first_phase=run.at_hand.first_phase,
            new_id=self._handling.world.new_id,
            cancelled=run.at_hand.cancelled,
        )
