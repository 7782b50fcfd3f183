"""Steps of the model as works of the ledger, and what a ledger tells in the words of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from reelwork.events import stable_event_id
from reelwork.ledger import (
    AssetOutcome,
    AssetState,
    BaseJobProgressManager,
    CompletionPolicy,
    Inbox,
    JobMove,
    JobStatus,
    NewDeadLetter,
    StageRule,
    StageStatus,
    StageUpdate,
    Work,
)
from tests.conformance.ledger.account import Account
from tests.conformance.ledger.model import Announced, News, Recorded, Step, Terms

TERMS = {
    "most": Terms(Fraction(60), 10_000),
    "any": Terms(Fraction(0), 10_000),
    "patient": Terms(Fraction(100), None),
    "needed": Terms(Fraction(100), 10_000, allow_partial=False),
}
RULES = {
    "most": CompletionPolicy(Decimal(60), 10),
    "any": CompletionPolicy(Decimal(0), 10),
    "patient": CompletionPolicy(Decimal(100), None),
    "needed": CompletionPolicy(Decimal(100), 10, allow_partial=False),
}
STAGE_RULES = {name: StageRule(policy=policy) for name, policy in RULES.items()}
STAGES = BaseJobProgressManager(stages=STAGE_RULES)
ANY_STATUS = frozenset(JobStatus)
NO_LETTER = 1_000_000


@dataclass(frozen=True)
class AssetReady:
    """The event that goes out with an asset when it is done."""

    job_id: str
    stage: str
    asset_id: str
    topic: str = "asset.ready"

    @property
    def identity(self) -> object:
        return stable_event_id(f"{self.job_id}/{self.stage}/{self.asset_id}/ready")

    def body(self) -> str:
        return f"{self.stage}/{self.asset_id}"


def work_of(step: Step, letter_ids: Sequence[int] = ()) -> Work:
    """letter_ids: of the dead letters that are there, the oldest first, for a replay."""
    moves = []
    if step.move is not None:
        job_id, to = step.move
        moves.append(JobMove(job_id=job_id, allowed=ANY_STATUS, to=JobStatus(to)))
    return Work(
        moves=moves,
        stages=[_update(news) for news in step.news],
        inbox=None if step.inbox is None else Inbox("q", step.inbox),
        dead_letters=[] if step.letter is None else [_letter(step.letter.job_id, step.letter.stage)],
        replay=None if step.replay is None else [*letter_ids, *[NO_LETTER] * (step.replay + 1)][step.replay],
    )


def _update(news: News) -> StageUpdate:
    if isinstance(news, Announced):
        return STAGES.announcement(news.job_id, news.stage, news.expected)
    if isinstance(news, Recorded):
        state = AssetState(news.state)
        outcomes = [_outcome(news, asset_id, state) for asset_id in news.assets]
        return STAGES.outcomes(news.job_id, news.stage, outcomes)
    return STAGES.expiry(news.job_id, news.stage)


def _outcome(news: Recorded, asset_id: str, state: AssetState) -> AssetOutcome:
    return AssetOutcome(asset_id, state, events=[AssetReady(news.job_id, news.stage, asset_id)])


def _letter(job_id: str, stage: str | None) -> NewDeadLetter:
    return NewDeadLetter(
        job_id=job_id, queue="q", topic="t", event_id="event", body=f"{stage}", error="broken", attempts=5, stage=stage
    )


def told_by(account: Account) -> dict[str, Any]:
    """In the words of `Model.story`."""
    return {
        "status": account.status and account.status.value,
        "letters": [(letter.stage, letter.replayed_at is not None) for letter in account.letters],
        "stages": {found.stage: _stage(account, found) for found in account.stages},
    }


def _stage(account: Account, found: StageStatus) -> dict[str, Any]:
    assets, fired = account.assets[found.stage], found.completion
    bodies = [row.body for row in account.outbox if row.topic == "asset.ready"]
    told = [body.removeprefix(f"{found.stage}/") for body in bodies if body.startswith(f"{found.stage}/")]
    return {
        "expected": found.expected,
        "done": sorted(asset.asset_id for asset in assets if asset.state is AssetState.DONE),
        "failed": sorted(asset.asset_id for asset in assets if asset.state is AssetState.FAILED),
        "late": sorted(asset.asset_id for asset in assets if asset.late),
        "told": sorted(told),
        "watermark_at": found.watermark_at if found.completed_at is None and found.closed_at is None else None,
        "fired": fired
        and (
            fired.total_assets,
            fired.processed_assets,
            fired.failed_assets,
            fired.has_partial_completion,
            fired.reason,
        ),
        "is_closed": found.closed_at is not None,
        "progress": found.progress,
        "conflicts": [
            (conflict.expected, conflict.announced) for conflict in account.conflicts if conflict.stage == found.stage
        ],
    }
