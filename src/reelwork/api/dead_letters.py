"""Messages that failed for good: listed, and sent to their queues again once what broke them is mended."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Query

from reelwork.api.dead_letter_models import DeadLetterBody, DeadLetters, Replayed
from reelwork.api.job_id import checked_job_id
from reelwork.api.state import AppState
from reelwork.ledger import Work

DEAD_LETTERS_LISTED: Final = 100
DEAD_LETTERS_LISTED_MAX: Final = 1_000

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])


@router.get("")
def list_dead_letters(
    state: AppState,
    job_id: Annotated[str | None, Query(description="Only those of this job.")] = None,
    limit: Annotated[int, Query(ge=1, le=DEAD_LETTERS_LISTED_MAX)] = DEAD_LETTERS_LISTED,
) -> DeadLetters:
    """Dead letters, newest first."""
    if job_id is not None:
        state.jobs.job(checked_job_id(job_id))
    letters = state.backends.ledger.dead_letters(job_id, limit=limit)
    return DeadLetters(dead_letters=[DeadLetterBody.model_validate(letter) for letter in letters])


@router.post("/{dead_letter_id}/replay", status_code=202)
def replay_dead_letter(dead_letter_id: int, state: AppState) -> Replayed:
    """Sends a dead letter to its own queue again, and sets a failed job running; 409 when that was done already."""
    newest = state.backends.ledger.dead_letters(limit=1)  # numbers are given in turn and never taken back
    if not newest or not 1 <= dead_letter_id <= newest[0].dead_letter_id:
        raise HTTPException(404, f"there is no dead letter {dead_letter_id}; list them to see which there are")
    state.backends.ledger.commit(Work(replay=dead_letter_id))
    return Replayed(dead_letter_id=dead_letter_id)
