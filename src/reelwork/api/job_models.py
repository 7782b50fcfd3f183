"""The answers about jobs: in a list, in full, and as they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from pydantic import Field

from reelwork.api.dead_letter_models import DeadLetterBody
from reelwork.api.models import Answer, Time
from reelwork.api.stage_models import ConflictBody, StageBody, StageCounters
from reelwork.ledger import Job, JobStatus, StageStatus
from reelwork.runtime.jobs import JobDetail


class JobSummary(Answer):
    job_id: str
    status: JobStatus
    progress: float = Field(description="A fraction that never goes back, and is 1.0 only when completed.")
    created_at: Time
    updated_at: Time
    pipeline: str
    phase: str | None
    parameters: dict[str, Any]
    idempotency_key: str | None
    input_path: str
    output_path: str | None
    error_message: str | None

    @classmethod
    def of(cls, job: Job, progress: float) -> JobSummary:
        return cls(**asdict(job), progress=progress)


class JobPage(Answer):
    jobs: list[JobSummary]
    next: str | None = Field(description="To be given as `before` for the next page; null on the last.")


class PhaseBody(Answer):
    name: str
    state: Literal["waiting", "running", "completed", "failed", "cancelled"]


class JobBody(JobSummary):
    phases: list[PhaseBody]
    stages: list[StageBody]
    conflicts: list[ConflictBody]
    dead_letters: list[DeadLetterBody]
    details: dict[str, Any] = Field(description="What the pipeline adds, such as the frames that are missing and why.")

    @classmethod
    def of_detail(cls, detail: JobDetail) -> JobBody:
        return cls(
            **asdict(detail.job),
            progress=detail.progress,
            phases=phases_of(detail.job, detail.phases),
            stages=[StageBody.of(stage) for stage in detail.stages],
            conflicts=[ConflictBody.model_validate(conflict) for conflict in detail.conflicts],
            dead_letters=[DeadLetterBody.model_validate(letter) for letter in detail.dead_letters],
            details=dict(detail.details),
        )


class JobProgress(Answer):
    """One server-sent event: the job as it is now."""

    job_id: str
    status: JobStatus
    progress: float
    phase: str | None
    error_message: str | None
    stages: list[StageCounters]

    @classmethod
    def of(cls, job: Job, progress: float, stages: Sequence[StageStatus]) -> JobProgress:
        counters = [StageCounters.model_validate(stage) for stage in stages]
        return cls(**asdict(job), progress=progress, stages=counters)


def phases_of(job: Job, names: Sequence[str]) -> list[PhaseBody]:
    """Those passed are completed, the present one is what the job is, the others wait."""
    if job.status is JobStatus.COMPLETED:
        return [PhaseBody(name=name, state="completed") for name in names]
    present = names.index(job.phase) if job.phase in names else -1
    state: Literal["running", "failed", "cancelled"] = "running"
    if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
        state = "failed" if job.status is JobStatus.FAILED else "cancelled"
    return [
        PhaseBody(name=name, state="completed" if number < present else state if number == present else "waiting")
        for number, name in enumerate(names)
    ]
