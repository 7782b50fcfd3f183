"""Messages that failed for good: listed, and sent to their queues again once what broke them is mended."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from reelwork.api.dead_letter_models import (
    DeadLetterBody,
    DeadLetters,
    ListQuery,
    RefusedReplay,
    Replayed,
    ReplayedBatch,
    ReplayOrder,
)
from reelwork.api.job_id import checked_job_id
from reelwork.api.state import AppState

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])


@router.get("")
def list_dead_letters(state: AppState, query: Annotated[ListQuery, Query()]) -> DeadLetters:
    """Dead letters that fit all that is given, newest first."""
    if query.job_id is not None:
        checked_job_id(query.job_id)
    page = state.dead_letters.page(query.selection(), replayed=query.replayed, before=query.before, limit=query.limit)
    letters = [DeadLetterBody.model_validate(letter) for letter in page.letters]
    return DeadLetters(dead_letters=letters, next=page.next)


@router.post("/replay", status_code=202)
def replay_dead_letters(order: ReplayOrder, state: AppState) -> ReplayedBatch:
    """Replays a batch of those that fit all that is given and have not been replayed yet; any number of times."""
    if order.job_id is not None:
        checked_job_id(order.job_id)
    batch = state.dead_letters.replay_selected(
        order.selection(), everything=order.all, before=order.before, limit=order.limit
    )
    refused = [
        RefusedReplay(dead_letter_id=letter.dead_letter_id, job_id=letter.job_id, reason=reason)
        for letter, reason in batch.refused
    ]
    return ReplayedBatch(replayed=batch.replayed, refused=refused, next=batch.next)


@router.get("/{dead_letter_id}")
def dead_letter(dead_letter_id: int, state: AppState) -> DeadLetterBody:
    """One dead letter, with its whole body and error."""
    return DeadLetterBody.model_validate(state.dead_letters.letter(dead_letter_id))


@router.post("/{dead_letter_id}/replay", status_code=202)
def replay_dead_letter(dead_letter_id: int, state: AppState) -> Replayed:
    """Sends a dead letter to its own queue again, and sets a failed job running; 409 when that was done already."""
    state.dead_letters.replay(dead_letter_id)
    return Replayed(dead_letter_id=dead_letter_id)
