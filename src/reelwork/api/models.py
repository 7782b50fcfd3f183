"""What all answers are made of, and the small ones. The bodies of /video never grow a field; the others may."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _from_epoch_ms(epoch_ms: int | None) -> datetime | None:
    return None if epoch_ms is None else datetime.fromtimestamp(epoch_ms / 1000, UTC)


Time = Annotated[datetime, BeforeValidator(_from_epoch_ms)]
TimeIfAny = Annotated[datetime | None, BeforeValidator(_from_epoch_ms)]


class Answer(BaseModel):
    """Made from the ledger's records; what it does not name is left out."""

    model_config = ConfigDict(frozen=True, from_attributes=True, extra="ignore")


class ErrorBody(Answer):
    detail: str = Field(description="What is wrong and what to do, for a person.")


class Submitted(Answer):
    job_id: str


class VideoStatus(Answer):
    job_id: str
    status: Literal["pending", "running", "completed", "failed"]
    progress: float


class VideoResults(Answer):
    job_id: str
    results: list[Any]


class Health(Answer):
    status: Literal["ok", "ready"]
