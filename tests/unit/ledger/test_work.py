"""A work that breaks a rule is refused before it can join a group."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from reelwork.errors import InvalidWork
from reelwork.ledger.records import AssetState
from reelwork.ledger.rules import CompletionPolicy
from reelwork.ledger.work import (
    ASSET_ID_CHARACTERS_MAX,
    ASSETS_PER_WORK_MAX,
    COUNT_MAX,
    RESULT_BYTES_MAX,
    AssetOutcome,
    NewDeadLetter,
    StageUpdate,
    Work,
)

POLICY = CompletionPolicy(Decimal(90), 900)


def work(*, job_id: str = "job", stage: str = "frames", **news: Any) -> Work:
    return Work(stages=[StageUpdate(job_id=job_id, stage=stage, topic="frames.completed", policy=POLICY, **news)])


def letter(error: str) -> NewDeadLetter:
    return NewDeadLetter(job_id="job", queue="q", topic="t", event_id="e", body="{}", error=error, attempts=1)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (work(job_id=""), "job id"),
        (work(stage=""), "stage name"),
        (work(job_id="a\0b"), "NUL"),
        (work(stage="frames\0"), "NUL"),
        (work(expected=-1), "zero or more"),
        (work(expected=True), "zero or more"),
        (work(expected=COUNT_MAX + 1), "at most"),
        (work(outcomes=[AssetOutcome("")]), "asset id"),
        (work(started=[""]), "asset id"),
        (work(outcomes=[AssetOutcome("a" * (ASSET_ID_CHARACTERS_MAX + 1))]), "asset id"),
        (work(outcomes=[AssetOutcome("a\0b")]), "NUL"),  # SQLite's JSON would cut it there, and count it twice
        (work(outcomes=[AssetOutcome("\ud800")]), "UTF-8"),
        (work(started=["a\0b"]), "NUL"),
        (work(outcomes=[AssetOutcome(7)]), "asset id"),  # type: ignore[arg-type]
        (work(outcomes=[AssetOutcome("a", weight=-1)]), "weight"),
        (work(outcomes=[AssetOutcome("a", weight=COUNT_MAX + 1)]), "weight"),
        (work(outcomes=[AssetOutcome("a", result={"x": float("nan")})]), "not JSON"),
        (work(outcomes=[AssetOutcome("a", result={"x": object()})]), "not JSON"),
        (work(outcomes=[AssetOutcome("a", result={"x": "y" * RESULT_BYTES_MAX})]), "object store"),
        (work(outcomes=[AssetOutcome("a")] * (ASSETS_PER_WORK_MAX + 1)), "at most"),
        (Work(dead_letters=[letter("")]), "error"),
    ],
)
def test_refused(bad: Work, says: str) -> None:
    with pytest.raises(InvalidWork, match=says):
        bad.validate()


@pytest.mark.parametrize(
    "good",
    [
        Work(),
        work(expected=0),
        work(expected=COUNT_MAX),
        work(outcomes=[AssetOutcome("a" * ASSET_ID_CHARACTERS_MAX)]),
        work(outcomes=[AssetOutcome("größe/日本 'quoted' \"too\" \\ [1]")]),
        work(outcomes=[AssetOutcome("a", AssetState.FAILED, weight=0, error="unreadable")]),
        work(outcomes=[AssetOutcome("a", result={"x": "y" * (RESULT_BYTES_MAX - 8)})]),
        Work(dead_letters=[letter("no contract")]),
    ],
)
def test_accepted(good: Work) -> None:
    good.validate()
