"""What is asked about dead letters, and the answers."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from reelwork.api.models import Answer, Time, TimeIfAny
from reelwork.runtime.dead_letters import NUMBER_MAX, Selection

DEAD_LETTERS_LISTED: Final = 100
DEAD_LETTERS_LISTED_MAX: Final = 1_000
REPLAYS: Final = 200
REPLAYS_MAX: Final = 1_000
FILTER_CHARACTERS_MAX: Final = 256

Text = Annotated[str, Field(min_length=1, max_length=FILTER_CHARACTERS_MAX, pattern=r"^[^\x00]+$")]
Before = Annotated[int, Field(ge=1, le=NUMBER_MAX)]


class Filters(BaseModel):
    """One that does not exist is refused: misspelt, it would mean every dead letter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job_id: Text | None = Field(None, description="Only those of this job.")
    stage: Text | None = Field(None, description="Only those whose assets are counted by this stage.")
    queue: Text | None = Field(None, description="Only those that failed on this queue.")
    error: Text | None = Field(None, description="Only those whose error has this in it, in upper or lower case.")

    def selection(self) -> Selection:
        return Selection(job_id=self.job_id, stage=self.stage, queue=self.queue, error=self.error)


class ListQuery(Filters):
    replayed: bool | None = Field(None, description="Only those that were replayed, or were not.")
    before: Before | None = Field(None, description="`next` of the page before.")
    limit: int = Field(DEAD_LETTERS_LISTED, ge=1, le=DEAD_LETTERS_LISTED_MAX)


class ReplayOrder(Filters):
    all: bool = Field(False, description="Must be true where no filter is given.")
    before: Before | None = Field(None, description="`next` of the batch before.")
    limit: int = Field(REPLAYS, ge=1, le=REPLAYS_MAX, description="At most so many in this batch.")


class DeadLetterBody(Answer):
    dead_letter_id: int
    job_id: str
    queue: str
    stage: str | None = Field(description="The stage whose assets it carried; null where its failure fails the job.")
    topic: str
    event_id: str
    body: str
    error: str
    attempts: int
    created_at: Time
    replayed_at: TimeIfAny


class DeadLetters(Answer):
    dead_letters: list[DeadLetterBody]
    next: int | None = Field(description="To be given as `before` for the next page; null on the last.")


class Replayed(Answer):
    dead_letter_id: int


class RefusedReplay(Answer):
    dead_letter_id: int
    job_id: str
    reason: str


class ReplayedBatch(Answer):
    replayed: int
    refused: list[RefusedReplay]
    next: int | None = Field(
        description="More remain: to be given as `before` of the next batch; null when all is done."
    )
