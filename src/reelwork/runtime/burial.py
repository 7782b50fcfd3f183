"""What becomes of a message that failed for good: one work with its dead letter, and `failed` for what it carried.

It writes no inbox row, so that a replay of the letter works.
"""

from __future__ import annotations

from dataclasses import replace

from reelwork.broker import Delivery
from reelwork.errors import ContractViolation, InvalidWork, JobNotFound, JobTransitionRefused
from reelwork.events import AssetEvent, JobFailed
from reelwork.ledger import (
    AssetOutcome,
    AssetState,
    BaseJobProgressManager,
    JobMove,
    JobStatus,
    Ledger,
    StageUpdate,
    Work,
)
from reelwork.runtime import tracing
from reelwork.runtime.declaration import Subscription
from reelwork.runtime.metrics.catalogue import DEAD_LETTERS
from reelwork.runtime.outcome import (
    AssetsFailed,
    dead_letter,
    describe,
    event_of,
    is_resolved,
    unless_consumed,
    with_receipt,
)
from reelwork.runtime.recorder import Recorder
from reelwork.runtime.world import World


class Burial:
    def __init__(self, ledger: Ledger, *, recorder: Recorder, stages: BaseJobProgressManager, world: World) -> None:
        self._ledger = ledger
        self._recorder = recorder
        self._stages = stages
        self._world = world

    async def bury(
        self, subscription: Subscription | None, delivery: Delivery, error: Exception, attempts: int
    ) -> None:
        """Dead-letters a delivery in one work: the row, and `failed` for its unresolved assets, or for its job.

        subscription: of its queue; None for one that nobody knows any more. Of that, and of what belongs to no job,
        only the row is left to write.
        """
        letter = dead_letter(delivery, describe(error), attempts)
        unless = unless_consumed(delivery)
        job_id = delivery.message.job_id
        if subscription is None or not await self._recorder.read(self._ledger.find_jobs, [job_id]):
            await self._finish(delivery, Work(dead_letters=[letter], unless_consumed=unless))
            return
        unresolved = await self._recorder.read(self._unresolved, subscription, delivery, error)
        if unresolved:
            of_stage = replace(letter, stage=unresolved[0].stage)
            try:
                await self._finish(delivery, Work(stages=unresolved, dead_letters=[of_stage], unless_consumed=unless))
                return
            except InvalidWork as refusal:  # ids that no ledger takes
                error = refusal
        reason = f"{subscription.service}: {describe(error)}"
        allowed = frozenset({JobStatus.PENDING, JobStatus.RUNNING})
        move = JobMove(job_id=job_id, allowed=allowed, to=JobStatus.FAILED, error_message=reason)
        failed = JobFailed(job_id=job_id, event_id=self._world.new_id(), reason=reason)
        try:
            work = Work(moves=[move], events=[failed], dead_letters=[letter], unless_consumed=unless)
            await self._finish(delivery, work)
        except (JobTransitionRefused, JobNotFound):  # over already: it does not fail once more
            await self._finish(delivery, Work(dead_letters=[letter], unless_consumed=unless))

    def _unresolved(self, subscription: Subscription, delivery: Delivery, error: Exception) -> list[StageUpdate]:
        if subscription.stage is None or subscription.handler is None:
            return []
        try:
            event = event_of(subscription, delivery)
        except ContractViolation:
            return []
        assert isinstance(event, AssetEvent)
        stage = subscription.stage.name
        known = self._ledger.known_assets(event.job_id, stage, [asset.asset_id for asset in event.assets()])
        failures = error.failures if isinstance(error, AssetsFailed) else {}
        outcomes = [
            AssetOutcome(
                asset.asset_id,
                AssetState.FAILED,
                weight=asset.weight,
                error=failures.get(asset.asset_id, describe(error)),
            )
            for asset in event.assets()
            if not is_resolved(known.get(asset.asset_id), is_replay=delivery.message.is_replay)
        ]
        return [self._stages.outcomes(event.job_id, stage, outcomes)]

    async def _finish(self, delivery: Delivery, work: Work) -> None:
        completions = await self._recorder.commit(with_receipt(work, delivery))
        DEAD_LETTERS.count(delivery.queue)
        tracing.caused([delivery], work.events, completions)
        await delivery.ack()
