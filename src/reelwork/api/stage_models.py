"""The answers about the stages of a job: their counters, their one completion, and what went wrong in them."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import Field

from reelwork.api.models import Answer, Time, TimeIfAny
from reelwork.ledger import JobStatus
from reelwork.runtime.diagnosis import Cause
from reelwork.runtime.jobs import StageDetail
from reelwork.runtime.standing import JobStanding, StageStanding


class CompletionBody(Answer):
    """The payload of the one completion event."""

    job_id: str
    event_id: str
    total_assets: int
    processed_assets: int
    failed_assets: int
    has_partial_completion: bool
    watermark_ttl: float | None
    reason: str


class FailedAsset(Answer):
    asset_id: str
    weight: int
    attempts: int
    late: bool
    error: str | None
    recorded_at: Time


class StageCounters(Answer):
    stage: str
    expected: int | None
    done: int
    failed: int
    late: int
    progress: float


class StageBody(StageCounters):
    weight: int = Field(description="Sum of the weights of the done assets.")
    created_at: Time
    watermark_at: TimeIfAny
    completed_at: TimeIfAny
    completion: CompletionBody | None
    fired: str | None = Field(description="Why it has completed: the rule and its numbers.")
    failed_assets: list[FailedAsset] = Field(description="The first hundred.")

    @classmethod
    def of(cls, detail: StageDetail) -> StageBody:
        return cls.model_validate(_fields(detail))


class QueueBody(Answer):
    """What a queue holds of the job. abandoned: left by a worker whose lease has ended."""

    queue: str
    waiting: int
    abandoned: int
    pausing: int = Field(description="Waiting for another attempt.")
    in_hand: int
    oldest_waiting_at: TimeIfAny


class ReasonBody(Answer):
    """Why a stage is open, or what a job waits for."""

    cause: Cause
    found: str
    fix: str | None
    is_stuck: bool = Field(description="It will not pass by itself, or should have passed by now.")


class ConflictBody(Answer):
    """An announcement that shrank a stage, or came after its completion, and had no effect."""

    stage: str
    expected: int | None
    announced: int
    recorded_at: Time


class StageStandingBody(StageBody):
    watermark: str | None = Field(description="When it completes without further news, in words; null when it is over.")
    reasons: list[ReasonBody] = Field(description="Why it is open.")
    queues: list[QueueBody] = Field(description="Those that feed it, as far as they hold something of its job.")

    @classmethod
    def of_standing(cls, standing: StageStanding) -> StageStandingBody:
        own = {
            "watermark": standing.watermark,
            "reasons": [asdict(reason) for reason in standing.reasons],
            "queues": [asdict(queue) for queue in standing.queues],
        }
        return cls.model_validate({**_fields(standing.detail), **own})


class JobStages(Answer):
    job_id: str
    status: JobStatus
    phase: str | None
    reasons: list[ReasonBody] = Field(description="What the job waits for, besides what is said of its stages.")
    stages: list[StageStandingBody]
    conflicts: list[ConflictBody]

    @classmethod
    def of(cls, standing: JobStanding) -> JobStages:
        return cls(
            job_id=standing.job.job_id,
            status=standing.job.status,
            phase=standing.job.phase,
            reasons=[ReasonBody.model_validate(reason) for reason in standing.reasons],
            stages=[StageStandingBody.of_standing(stage) for stage in standing.stages],
            conflicts=[ConflictBody.model_validate(conflict) for conflict in standing.conflicts],
        )


def _fields(detail: StageDetail) -> dict[str, object]:
    status = asdict(detail.status)
    failed_assets = [asdict(asset) for asset in detail.failed_assets]
    return {**status, "weight": status["done_weight"], "fired": detail.fired, "failed_assets": failed_assets}
