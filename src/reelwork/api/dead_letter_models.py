"""The answers about dead letters."""

from __future__ import annotations

from reelwork.api.models import Answer, Time, TimeIfAny


class DeadLetterBody(Answer):
    dead_letter_id: int
    job_id: str
    queue: str
    topic: str
    event_id: str
    body: str
    error: str
    attempts: int
    created_at: Time
    replayed_at: TimeIfAny


class DeadLetters(Answer):
    dead_letters: list[DeadLetterBody]


class Replayed(Answer):
    dead_letter_id: int
