"""Where a job stands: its stages with all that is known of them, and what keeps each open. Only reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reelwork.ledger import DeadLetter, Job, JobStatus, QueueDepth, StageStatus
from reelwork.ledger.records import AnnouncementConflict
from reelwork.runtime.backends import Backends
from reelwork.runtime.declaration import Pipeline
from reelwork.runtime.diagnosis import (
    STUCK_AFTER_SECONDS,
    JobEvidence,
    Reason,
    StageEvidence,
    watermark_words,
    why_open,
    why_waiting,
)
from reelwork.runtime.jobs import Jobs, StageDetail

LETTERS_MAX: Final = 1_000
JOBS_LOOKED_AT_MAX: Final = 1_000
OPEN_STAGES_LOOKED_AT_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStanding:
    """queues: those that feed it, as far as they hold something of its job. watermark: when it is due, in words."""

    detail: StageDetail
    queues: Sequence[QueueDepth]
    watermark: str | None
    reasons: Sequence[Reason]

    @property
    def status(self) -> StageStatus:
        return self.detail.status


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStanding:
    """reasons: what the job waits for besides its stages."""

    job: Job
    stages: Sequence[StageStanding]
    conflicts: Sequence[AnnouncementConflict]
    reasons: Sequence[Reason]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is read once for all stages of a job."""

    job: Job
    pipeline: Pipeline | None
    details: Sequence[StageDetail]
    conflicts: Sequence[AnnouncementConflict]
    letters: Sequence[DeadLetter]
    queues: Sequence[QueueDepth]
    unpublished_since: int | None
    now_ms: int


class Standings:
    """stuck_after_seconds: without news for so long, what should have moved is stuck."""

    def __init__(self, backends: Backends, *, stuck_after_seconds: float = STUCK_AFTER_SECONDS) -> None:
        self._backends = backends
        self._ledger = backends.ledger
        self._catalogue = backends.catalogue
        self._jobs = Jobs(backends.ledger, backends.catalogue, stages=backends.stages)
        self._services = {subscription.queue: subscription.service for subscription in backends.catalogue.subscriptions}
        self._stuck_after_ms = round(stuck_after_seconds * 1000)

    async def of(self, job_id: str) -> JobStanding:
        """Raises JobNotFound."""
        known = await asyncio.to_thread(self._read, job_id)
        stages = [await self._stage(known, detail) for detail in known.details]
        feeding = {queue for stage in stages for queue in self._catalogue.queues_feeding(stage.status.stage)}
        evidence = JobEvidence(
            job=known.job,
            stages=[stage.status for stage in stages],
            queues=[queue for queue in known.queues if queue.queue not in feeding],
            is_held=bool(known.queues) or await self._backends.broker.holds(known.job.job_id, self._services),
            services=self._services,
            phase_stages=_stages_of_phase(known),
            settles_at=self._settles_at(known),
            unpublished_since=known.unpublished_since,
            now_ms=known.now_ms,
            stuck_after_ms=self._stuck_after_ms,
        )
        return JobStanding(job=known.job, stages=stages, conflicts=known.conflicts, reasons=why_waiting(evidence))

    async def of_live_jobs(self) -> AsyncIterator[JobStanding]:
        """Of jobs that are not over, and of failed ones with an open stage; the newest, a bounded number of them."""
        for job_id in await asyncio.to_thread(lambda: list(self._job_ids())):
            yield await self.of(job_id)

    def _job_ids(self) -> Iterator[str]:
        with_open_stages = {stage.job_id for stage in self._ledger.open_stages(limit=OPEN_STAGES_LOOKED_AT_MAX)}
        statuses = [JobStatus.PENDING, JobStatus.RUNNING]
        live = [job.job_id for job in self._ledger.jobs(statuses=statuses, limit=JOBS_LOOKED_AT_MAX)]
        yield from live
        failed = self._ledger.jobs(statuses=[JobStatus.FAILED], limit=JOBS_LOOKED_AT_MAX)
        yield from (job.job_id for job in failed if job.job_id in with_open_stages)

    def _read(self, job_id: str) -> _Known:
        job = self._ledger.job(job_id)
        unpublished = self._ledger.unpublished(limit=1)
        return _Known(
            job=job,
            pipeline=self._catalogue.pipelines.get(job.pipeline),
            details=[self._jobs.stage_detail(status) for status in self._ledger.stage_status(job_id)],
            conflicts=self._ledger.conflicts(job_id),
            letters=self._ledger.dead_letters(job_id, replayed=False, limit=LETTERS_MAX),
            queues=self._ledger.queue_depths(job_id),
            unpublished_since=unpublished[0].created_at if unpublished else None,
            now_ms=self._backends.world.now_ms(),
        )

    async def _stage(self, known: _Known, detail: StageDetail) -> StageStanding:
        status = detail.status
        feeding = self._catalogue.queues_feeding(status.stage)
        is_open = status.completed_at is None and status.closed_at is None
        queues = [queue for queue in known.queues if queue.queue in feeding]
        evidence = StageEvidence(
            job=known.job,
            stage=status,
            policy=self._backends.stages.policy_of(status.stage),
            queues=queues,
            is_held=bool(queues) or (is_open and await self._backends.broker.holds(status.job_id, feeding)),
            services=self._services,
            announced_by=self._announced_by(status.stage, known.job),
            letters=[letter for letter in known.letters if letter.stage == status.stage],
            failed={asset.asset_id: asset.error for asset in detail.failed_assets},
            conflicts=[conflict for conflict in known.conflicts if conflict.stage == status.stage],
            last_news_at=await asyncio.to_thread(self._last_news_at, status) if is_open else known.now_ms,
            now_ms=known.now_ms,
            stuck_after_ms=self._stuck_after_ms,
        )
        watermark = watermark_words(evidence)
        return StageStanding(detail=detail, queues=queues, watermark=watermark, reasons=why_open(evidence))

    def _last_news_at(self, stage: StageStatus) -> int:
        """Whatever has moved the watermark was news, or a worker's sign of life; without one, its last asset was."""
        ttl_seconds = self._backends.stages.policy_of(stage.stage).watermark_ttl_seconds
        if stage.watermark_at is not None and ttl_seconds is not None:
            return max(stage.created_at, stage.watermark_at - round(ttl_seconds * 1000))
        return max(stage.created_at, self._ledger.last_recorded_at(stage.job_id, stage.stage) or 0)

    def _announced_by(self, stage: str, job: Job) -> str | None:
        for subscription in self._catalogue.subscriptions:
            if subscription.stage is not None and subscription.stage.name == stage and subscription.stage.announced_by:
                with contextlib.suppress(Exception):  # an author's own condition, which must not break this page
                    if subscription.takes(job):
                        return subscription.stage.announced_by.topic
        return None

    def _settles_at(self, known: _Known) -> int | None:
        """When the conductor should have moved the job out of its phase; None while it has to wait."""
        names = _stages_of_phase(known)
        by_name = {detail.status.stage: detail.status for detail in known.details}
        if not names:
            return None
        ends = []
        for name in names:
            stage = by_name.get(name)
            if stage is None or stage.completed_at is None:
                return None
            settle_seconds = 0 if stage.is_settled else self._backends.config.REELWORK_SETTLE_SECONDS
            ends.append(stage.completed_at + round(settle_seconds * 1000))
        return max(*ends, known.job.updated_at)


def _stages_of_phase(known: _Known) -> Sequence[str] | None:
    if known.pipeline is None:
        return None
    of_conductor = (phase for phase in known.pipeline.phases if not phase.is_left_by_service)
    return next((phase.stages for phase in of_conductor if phase.name == known.job.phase), None)
