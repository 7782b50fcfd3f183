"""What one delivery becomes: outcomes of its assets, effects of its handler, or a dead letter. Never an asset lost.

Finished assets are recorded as they finish; a redelivery skips what is recorded. The inbox row and the acknowledgement
come only when every asset has its outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final

import structlog

from reelwork.broker import DELIVERIES_MAX, Broker, Delivery
from reelwork.errors import (
    InvalidWork,
    JobTransitionRefused,
    PermanentError,
    StoreUnavailable,
)
from reelwork.events import Announcement, Event
from reelwork.ledger import (
    BaseJobProgressManager,
    Job,
    JobStatus,
    Ledger,
    Work,
)
from reelwork.objects import ObjectStore
from reelwork.runtime import tracing
from reelwork.runtime.burial import Burial
from reelwork.runtime.context import Context, WorkCancelled
from reelwork.runtime.declaration import Catalogue, Stage, Subscription
from reelwork.runtime.log import AT_WORK, AtWork, named, named_assets
from reelwork.runtime.metrics.catalogue import HANDLER_TIME, JOB_SECONDS, LEASE_LOSSES, RETRIES
from reelwork.runtime.outcome import (
    AssetsFailed,
    HandlerTimeout,
    contained,
    contained_coroutine,
    describe,
    event_of,
    inbox_of,
    with_receipt,
    within,
)
from reelwork.runtime.recorder import Recorder
from reelwork.runtime.stage_group import StageGroup
from reelwork.runtime.stage_run import CRASHES_MAX
from reelwork.runtime.world import World

ATTEMPTS_MAX: Final = 5
RETRY_SECONDS_MIN: Final = 1.0
RETRY_SECONDS_MAX: Final = 60.0

log = structlog.get_logger("reelwork.worker")


@dataclass(slots=True, kw_only=True)
class Handling:
    """Everything that handling a delivery needs, the same for all deliveries of a worker."""

    ledger: Ledger
    broker: Broker
    objects: ObjectStore
    recorder: Recorder
    catalogue: Catalogue
    stages: BaseJobProgressManager
    world: World
    threads: Executor
    timeout_seconds: float
    watermark_max_ms: int

    async def handle(self, subscription: Subscription, delivery: Delivery) -> None:
        """Takes a delivery to its end: acknowledged, retried or dead-lettered.

        Raises HandlerTimeout after the delivery has been seen to, for the worker to replace its process. Cancelled, it
        hands the delivery back: its handler was not waited for, but did no harm.
        """
        if subscription.stage is not None and subscription.handler is not None:
            await StageGroup(self, subscription, [delivery]).run()
            return
        cancelled, started_ns = threading.Event(), time.time_ns()
        keeper = asyncio.create_task(self._keep(subscription, delivery, cancelled))
        try:
            await self._attempt(subscription, delivery, cancelled)
            tracing.handled(subscription, delivery, started_ns=started_ns)
        except HandlerTimeout as error:
            try:
                await self.see_to(subscription, delivery, error)
            except Exception as failure:  # its lease ends; the process must be replaced all the same
                names = named(subscription, delivery)
                log.warning("reelwork.worker.retry_failed", **names, error=describe(failure))
            tracing.handled(subscription, delivery, started_ns=started_ns, error=describe(error))
            raise
        except asyncio.CancelledError:
            await delivery.release()
            raise
        except Exception as error:
            await self.see_to(subscription, delivery, error)
            tracing.handled(subscription, delivery, started_ns=started_ns, error=describe(error))
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper

    async def see_to(self, subscription: Subscription, delivery: Delivery, error: Exception) -> None:
        """Ends a delivery that did not go well: dropped with its job, retried, or dead-lettered."""
        if isinstance(error, WorkCancelled):
            await self._finish(subscription, delivery)
        elif isinstance(error, JobTransitionRefused):
            await self._refused(subscription, delivery, error)
        else:
            await self._retry_or_bury(subscription, delivery, error)

    async def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        """What was not started goes to the next worker at once; where that fails, when its lease ends."""
        try:
            await self.broker.release(deliveries)
        except StoreUnavailable as error:
            log.warning(
                "reelwork.worker.hand_back_failed",
                queue=deliveries[0].queue,
                deliveries=len(deliveries),
                error=str(error),
            )

    async def _attempt(self, subscription: Subscription, delivery: Delivery, cancelled: threading.Event) -> None:
        event = event_of(subscription, delivery)
        if delivery.deliveries > DELIVERIES_MAX:
            raise PermanentError(f"delivered {DELIVERIES_MAX} times without an outcome")
        job, is_consumed = await self.recorder.read(self._look_up, delivery)
        if is_consumed:
            await self.finish(delivery, Work())
        elif job.status is JobStatus.CANCELLED:
            await self._finish(subscription, delivery)
        elif not subscription.takes(job):
            await self.finish(delivery, Work(inbox=inbox_of(delivery)))
        elif subscription.handler is None:
            await self._announce(subscription, delivery, event)
        else:
            await self._run_handler(subscription, delivery, event, self._context(job, cancelled))

    def _look_up(self, delivery: Delivery) -> tuple[Job, bool]:
        """The job, and whether this message was seen to before: a copy must not fail what has succeeded."""
        message = delivery.message
        consumers = {} if message.is_replay else self.ledger.consumers([message.event_id])
        return self.ledger.job(message.job_id), delivery.queue in consumers.get(message.event_id, ())

    async def _announce(self, subscription: Subscription, delivery: Delivery, event: Event) -> None:
        assert subscription.stage is not None
        assert isinstance(event, Announcement)
        update = self.stages.announcement(event.job_id, subscription.stage.name, event.expected)
        await self.finish(delivery, Work(stages=[update], inbox=inbox_of(delivery)))

    async def _run_handler(
        self, subscription: Subscription, delivery: Delivery, event: Event, context: Context
    ) -> None:
        died = delivery.deliveries - delivery.attempts - 1
        if died >= CRASHES_MAX:
            raise PermanentError(f"its worker died {died} times while handling it")
        started = self.world.monotonic()
        await self._call(subscription, delivery, event, context)
        HANDLER_TIME.observe(self.world.monotonic() - started, subscription.service, subscription.queue)
        await self.finish(delivery, Work(moves=context.moves, events=context.events, inbox=inbox_of(delivery)))
        if any(move.to is JobStatus.COMPLETED for move in context.moves):
            seconds = (self.world.now_ms() - context.job.created_at) / 1000
            JOB_SECONDS.observe(seconds, context.job.pipeline)

    async def _call(self, subscription: Subscription, delivery: Delivery, event: Event, context: Context) -> None:
        """Runs the handler: a coroutine inline, other code in a thread.

        Raises HandlerTimeout for a thread running on after its time, TimeoutError for a coroutine, which is stopped.
        """
        handler = subscription.handler
        assert handler is not None
        seconds = self.timeout_of(subscription)
        if not inspect.iscoroutinefunction(handler):
            loop = asyncio.get_running_loop()
            at_work = copy_context()
            at_work.run(AT_WORK.set, AtWork(subscription, delivery))
            running = loop.run_in_executor(self.threads, at_work.run, contained, handler, event, context)
            await within(seconds, running, queue=subscription.queue)
            return
        AT_WORK.set(AtWork(subscription, delivery))
        try:
            running_inline = contained_coroutine(handler(event, context))
            await within(seconds, running_inline, queue=subscription.queue)
        except HandlerTimeout as error:
            raise TimeoutError(str(error)) from error
        finally:
            AT_WORK.set(None)

    def timeout_of(self, subscription: Subscription) -> float:
        return self.timeout_seconds if subscription.timeout_seconds is None else subscription.timeout_seconds

    def first_phase(self, job: Job) -> str | None:
        return self.first_phase_of(job.pipeline)

    def first_phase_of(self, pipeline_name: str) -> str | None:
        pipeline = self.catalogue.pipelines.get(pipeline_name)
        return pipeline.phases[0].name if pipeline else None

    def _context(self, job: Job, cancelled: threading.Event) -> Context:
        return Context(
            job=job,
            attempt=self.world.new_id().hex,
            objects=self.objects,
            ledger=self.ledger,
            first_phase=self.first_phase(job),
            new_id=self.world.new_id,
            cancelled=cancelled,
        )

    async def finish(self, delivery: Delivery, work: Work) -> None:
        """Records the last work of a delivery together with its acknowledgement."""
        completions = await self.recorder.commit(with_receipt(work, delivery))
        tracing.caused([delivery], work.events, completions)
        await delivery.ack()

    async def _finish(self, subscription: Subscription, delivery: Delivery) -> None:
        """Nothing is left to do for this delivery: its job is over."""
        log.info("reelwork.worker.dropped", **named(subscription, delivery))
        await self.finish(delivery, Work(inbox=inbox_of(delivery)))

    async def _refused(self, subscription: Subscription, delivery: Delivery, refusal: JobTransitionRefused) -> None:
        """The job is over, as a rule.

        If it failed it may be brought back, and must then find this message among the dead letters.
        """
        job = await self.recorder.read(self.ledger.job, delivery.message.job_id)
        if job.status is JobStatus.FAILED:
            await self._bury(subscription, delivery, refusal, delivery.attempts + 1)
        elif job.status.is_terminal:
            await self._finish(subscription, delivery)
        else:  # brought back meanwhile, or the handler asks for what its job cannot do yet
            await self._retry_or_bury(subscription, delivery, refusal)

    async def _retry_or_bury(self, subscription: Subscription, delivery: Delivery, error: Exception) -> None:
        attempts = delivery.attempts + 1
        assets = named_assets(error.failures) if isinstance(error, AssetsFailed) else {}
        names = {**named(subscription, delivery), **assets, "error": describe(error)}
        if not await delivery.extend():
            LEASE_LOSSES.count(delivery.queue)
            log.warning("reelwork.worker.lease_lost", **names)  # whoever has the message now decides what becomes of it
        elif isinstance(error, PermanentError | InvalidWork) or attempts >= ATTEMPTS_MAX:
            log.error("reelwork.worker.dead_letter", **names)
            await self._bury(subscription, delivery, error, attempts)
        else:
            pause = self._backoff(attempts)
            RETRIES.count(delivery.queue)
            log.warning("reelwork.worker.retry", after_seconds=round(pause, 2), **names)
            await delivery.retry(pause)

    def _backoff(self, attempts: int) -> float:
        """Exponential with full jitter, so that what failed together does not come back together."""
        ceiling = min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN * 2**attempts)
        return self.world.random.uniform(RETRY_SECONDS_MIN, ceiling)

    async def _bury(self, subscription: Subscription, delivery: Delivery, error: Exception, attempts: int) -> None:
        burial = Burial(self.ledger, recorder=self.recorder, stages=self.stages, world=self.world)
        await burial.bury(subscription, delivery, error, attempts)

    async def _keep(self, subscription: Subscription, delivery: Delivery, cancelled: threading.Event) -> None:
        """While a delivery is worked on: renews its lease, and hears of a cancelled job."""
        job_id = delivery.message.job_id
        while True:
            await self.world.sleep(delivery.lease_seconds / 3)
            try:
                await self.keep(subscription.stage, [delivery])
                job = await self.recorder.read(self.ledger.job, job_id)
                if job.status is JobStatus.CANCELLED:
                    cancelled.set()
            except Exception as error:
                log.warning("reelwork.worker.heartbeat_failed", **named(subscription, delivery), error=describe(error))

    async def keep(self, stage: Stage | None, deliveries: Sequence[Delivery]) -> None:
        """Renews the leases of deliveries that are worked on, and postpones the watermarks of their stage."""
        await self.broker.extend(deliveries)
        if stage is None or self.stages.policy_of(stage.name).watermark_ttl_seconds is None:
            return
        updates = [
            self.stages.postponement(job_id, stage.name, postpone_max_ms=self.watermark_max_ms)
            for job_id in sorted({delivery.message.job_id for delivery in deliveries})
        ]
        for result in await self.recorder.commit_all([Work(stages=[update]) for update in updates]):
            if isinstance(result, Exception):
                raise result
