"""Jobs as their owners see them: submitted, cancelled, watched.

Every face (HTTP, command line, Python) goes through here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ValidationError

from reelwork.errors import JobTransitionRefused, PermanentError
from reelwork.events import JobCancelled, stable_event_id
from reelwork.ledger import (
    AssetRecord,
    AssetState,
    BaseJobProgressManager,
    DeadLetter,
    Job,
    JobExists,
    JobMove,
    JobStatus,
    Ledger,
    NewJob,
    StageStatus,
    Work,
)
from reelwork.ledger.records import AnnouncementConflict
from reelwork.runtime import tracing
from reelwork.runtime.declaration import Catalogue, Pipeline
from reelwork.runtime.diagnosis import why_fired
from reelwork.runtime.metrics.catalogue import JOBS_SUBMITTED

PROGRESS_BEFORE_COMPLETION_MAX: Final = 0.99
FAILED_ASSETS_SHOWN_MAX: Final = 100


class ParametersRefused(PermanentError):
    """A job was submitted with parameters that its pipeline cannot work with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDetail:
    """fired: why it has completed, in words."""

    status: StageStatus
    fired: str | None
    failed_assets: Sequence[AssetRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetail:
    """Everything there is to say of a job. details: what its pipeline adds."""

    job: Job
    progress: float
    phases: Sequence[str]
    stages: Sequence[StageDetail]
    conflicts: Sequence[AnnouncementConflict]
    dead_letters: Sequence[DeadLetter]
    details: Mapping[str, Any]


class Jobs:
    """Blocking; thread-safe. stages: knows the policies; without it, those of the environment hold."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue, *, stages: BaseJobProgressManager | None = None) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._stages = stages or BaseJobProgressManager(stages=catalogue.stage_rules)

    def check(self, pipeline_name: str, parameters: Mapping[str, Any]) -> BaseModel:
        """The parameters as the pipeline takes them.

        Raises ConfigurationError for an unknown pipeline, ParametersRefused or another PermanentError saying what is
        wrong.
        """
        pipeline = self._catalogue.pipeline(pipeline_name)
        try:
            checked = pipeline.parameters.model_validate(dict(parameters))
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ParametersRefused("; ".join(problems)) from error
        if pipeline.check is not None:
            pipeline.check(checked)
        return checked

    def create(
        self,
        pipeline_name: str,
        *,
        job_id: UUID,
        input_path: str,
        parameters: Mapping[str, Any],
        idempotency_key: str | None = None,
    ) -> str:
        """Records a job and hands it to its pipeline. With a key that was used before: nothing happens, and that
        job's id.

        parameters: what `check` has let through, and what is known of the input.
        """
        pipeline = self._catalogue.pipeline(pipeline_name)
        job = NewJob(
            job_id=str(job_id),
            pipeline=pipeline_name,
            input_path=input_path,
            parameters=parameters,
            idempotency_key=idempotency_key,
        )
        submitted = pipeline.submitted(job_id=str(job_id))
        try:
            self._ledger.commit(Work(new_job=job, events=[submitted]))
        except JobExists as existing:
            return existing.job_id
        JOBS_SUBMITTED.count(pipeline_name)
        tracing.submitted(str(job_id), pipeline_name, submitted)
        return str(job_id)

    def with_key(self, idempotency_key: str) -> str | None:
        """The job that was created with this key."""
        return self._ledger.job_with_key(idempotency_key)

    def cancel(self, job_id: str, *, reason: str = "cancelled by its owner") -> Job:
        """Cancels a job; one that is cancelled already stays so.

        Raises JobNotFound, JobTransitionRefused when it is over.
        """
        allowed = frozenset({JobStatus.PENDING, JobStatus.RUNNING})
        move = JobMove(job_id=job_id, allowed=allowed, to=JobStatus.CANCELLED, error_message=reason)
        event = JobCancelled(job_id=job_id, event_id=stable_event_id(f"{job_id}/job.cancelled"), reason=reason)
        try:
            self._ledger.commit(Work(moves=[move], events=[event]))
        except JobTransitionRefused:
            if self._ledger.job(job_id).status is not JobStatus.CANCELLED:
                raise
        return self._ledger.job(job_id)

    def job(self, job_id: str) -> Job:
        """Raises JobNotFound, also for what cannot be an id."""
        return self._ledger.job(job_id)

    def list(
        self,
        *,
        statuses: Sequence[JobStatus] = (),
        pipeline: str | None = None,
        before: str | None = None,
        limit: int,
    ) -> list[tuple[Job, float]]:
        """Jobs with their progress, newest first."""
        jobs = self._ledger.jobs(statuses=statuses, pipeline=pipeline, before=before, limit=limit)
        return [(job, self.progress(job)) for job in jobs]

    def progress(self, job: Job) -> float:
        """A fraction that never goes back, and is 1.0 only when the job is completed."""
        if job.status is JobStatus.COMPLETED:
            return 1.0
        pipeline = self._catalogue.pipelines.get(job.pipeline)
        if pipeline is None or job.phase is None:
            return 0.0
        return measure_progress(pipeline, job.phase, self._ledger.stage_status(job.job_id))

    def phase_fractions(self, job: Job) -> Mapping[str, float]:
        """How much of each of its phases is done, in their order; a job that has not begun is at their beginning."""
        pipeline = self._catalogue.pipelines.get(job.pipeline)
        if pipeline is None:
            return {}
        if job.status is JobStatus.COMPLETED:
            return {phase.name: 1.0 for phase in pipeline.phases}
        return phase_fractions(pipeline, job.phase or pipeline.phases[0].name, self._ledger.stage_status(job.job_id))

    def detail(self, job_id: str) -> JobDetail:
        """Raises JobNotFound."""
        job = self._ledger.job(job_id)
        pipeline = self._catalogue.pipelines.get(job.pipeline)
        return JobDetail(
            job=job,
            progress=self.progress(job),
            phases=[phase.name for phase in pipeline.phases] if pipeline else [],
            stages=[self.stage_detail(status) for status in self._ledger.stage_status(job_id)],
            conflicts=self._ledger.conflicts(job_id),
            dead_letters=self._ledger.dead_letters(job_id),
            details=pipeline.details(job, self._ledger) if pipeline and pipeline.details else {},
        )

    def stage_detail(self, status: StageStatus) -> StageDetail:
        failed = []
        if status.failed:
            for asset in self._ledger.assets(status.job_id, status.stage, states=[AssetState.FAILED]):
                failed.append(asset)
                if len(failed) == FAILED_ASSETS_SHOWN_MAX:
                    break
        completion = status.completion
        fired = why_fired(completion, self._stages.policy_of(status.stage)) if completion else None
        return StageDetail(status=status, fired=fired, failed_assets=failed)


def measure_progress(pipeline: Pipeline, phase_name: str, stages: Sequence[StageStatus]) -> float:
    """By the phases' shares."""
    fractions = phase_fractions(pipeline, phase_name, stages)
    total = sum(phase.share for phase in pipeline.phases)
    passed = sum(phase.share * fractions[phase.name] for phase in pipeline.phases)
    return min(passed / total, PROGRESS_BEFORE_COMPLETION_MAX)


def phase_fractions(pipeline: Pipeline, phase_name: str, stages: Sequence[StageStatus]) -> dict[str, float]:
    """How much of each phase is done: those passed whole, the present one as far as its stages have settled."""
    by_name = {stage.stage: stage.progress for stage in stages}
    fractions = dict.fromkeys((phase.name for phase in pipeline.phases), 0.0)
    for phase in pipeline.phases:
        if phase.name == phase_name:
            names = phase.stages or ()
            fractions[phase.name] = sum(by_name.get(name, 0.0) for name in names) / len(names) if names else 0.0
            break
        fractions[phase.name] = 1.0
    return fractions
