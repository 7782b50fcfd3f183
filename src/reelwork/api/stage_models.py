"""The answers about the stages of a job: their counters, their one completion, and what went wrong in them."""

from __future__ import annotations

from pydantic import Field

from reelwork.api.models import Answer, Time, TimeIfAny


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
    watermark_at: TimeIfAny
    completed_at: TimeIfAny
    completion: CompletionBody | None
    failed_assets: list[FailedAsset] = Field(description="The first hundred.")


class ConflictBody(Answer):
    """An announcement that shrank a stage, or came after its completion, and had no effect."""

    stage: str
    expected: int | None
    announced: int
    recorded_at: Time
