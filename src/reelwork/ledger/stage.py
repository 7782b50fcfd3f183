"""One stage and what news does to it: announcements, outcomes and time come in, asset rows and at most one completion
go out.

Pure: the stores load the row and the known assets before, and write what changed after, in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field

from reelwork.events import completion_event_id
from reelwork.ledger.records import AnnouncementConflict, AssetState, Completion, Known
from reelwork.ledger.rules import due_rule, fires, is_partial, watermark_has_strayed
from reelwork.ledger.work import AssetOutcome, Publishable, StageUpdate
from reelwork.message import Message


@dataclass(slots=True)
class AssetRow:
    """An asset row as it will be written; without an outcome only its attempts are."""

    asset_id: str
    state: AssetState
    weight: int
    late: bool
    attempts: int
    outcome: AssetOutcome | None
    recorded_at: int


@dataclass(slots=True)
class Stage:
    """The stage row in memory, for the length of one transaction. Times are epoch ms."""

    job_id: str
    stage: str
    created_at: int
    expected: int | None = None
    done: int = 0
    failed: int = 0
    late: int = 0
    done_weight: int = 0
    progress: float = 0.0
    watermark_at: int | None = None
    completed_at: int | None = None
    closed_at: int | None = None
    is_new: bool = True
    is_dirty: bool = False

    @property
    def is_open(self) -> bool:
        return self.completed_at is None and self.closed_at is None

    @property
    def is_settled(self) -> bool:
        return self.expected is not None and self.done + self.failed >= self.expected


@dataclass(slots=True)
class StageChange:
    """What one update did. `fell_short`: a stage that needs all its assets will not get them. `has_settled`: it had
    completed without its last outcomes, and now has them.
    """

    completion: Completion | None = None
    conflict: AnnouncementConflict | None = None
    fell_short: bool = False
    has_settled: bool = False
    events: list[Publishable | Message] = field(default_factory=list)


def apply_update(
    stage: Stage,
    update: StageUpdate,
    *,
    known: MutableMapping[str, Known],
    rows: MutableMapping[str, AssetRow],
    now_ms: int,
) -> StageChange:
    """Applies `update` to `stage`, to what is `known` of its assets and to the asset `rows` to be written."""
    change = StageChange()
    was_settled = stage.is_settled
    news = _announce(stage, update, change, now_ms)
    news |= _record(stage, update, change, known, rows, now_ms)
    _mark_started(update, known, rows, now_ms)
    if news or (stage.is_new and stage.watermark_at is None):
        stage.watermark_at = update.policy.watermark_after(now_ms)
    elif watermark_has_strayed(stage.watermark_at, now_ms, update.policy):
        stage.watermark_at = update.policy.watermark_after(now_ms)  # or a clock set back would put it off by as much
    elif update.postpone:
        _postpone(stage, update, now_ms)
    stage.is_new = False
    _measure_progress(stage)
    change.has_settled = stage.completed_at is not None and stage.is_settled and not was_settled
    if stage.is_open:
        _evaluate(stage, update, change, now_ms, has_news=news)
    return change


def _announce(stage: Stage, update: StageUpdate, change: StageChange, now_ms: int) -> bool:
    announced = update.expected
    if announced is None or announced == stage.expected:
        return False
    shrinks = stage.expected is not None and announced < stage.expected
    if shrinks or stage.completed_at is not None:
        change.conflict = AnnouncementConflict(
            job_id=stage.job_id, stage=stage.stage, expected=stage.expected, announced=announced, recorded_at=now_ms
        )
        return False
    stage.expected = announced
    return True


def _record(
    stage: Stage,
    update: StageUpdate,
    change: StageChange,
    known: MutableMapping[str, Known],
    rows: MutableMapping[str, AssetRow],
    now_ms: int,
) -> bool:
    news = False
    is_late = stage.completed_at is not None
    for outcome in update.outcomes:
        before = known.get(outcome.asset_id)
        if before is not None and (before.state is AssetState.DONE or before.state is outcome.state):
            continue
        if before is not None and before.state is AssetState.FAILED:
            stage.failed -= 1
        if before is None or not before.late:
            stage.late += is_late
        if outcome.state is AssetState.DONE:
            stage.done += 1
            stage.done_weight += outcome.weight
            change.events.extend(outcome.events)
        else:
            stage.failed += 1
        news = True
        attempts = before.attempts if before is not None else 0
        known[outcome.asset_id] = Known(outcome.state, attempts, is_late)
        rows[outcome.asset_id] = AssetRow(
            outcome.asset_id, outcome.state, outcome.weight, is_late, attempts, outcome, now_ms
        )
    return news


def _mark_started(
    update: StageUpdate, known: MutableMapping[str, Known], rows: MutableMapping[str, AssetRow], now_ms: int
) -> None:
    for asset_id in update.started:
        before = known.get(asset_id, Known(AssetState.STARTED, 0))
        if before.state is AssetState.DONE:
            continue
        known[asset_id] = before._replace(attempts=before.attempts + 1)
        row = rows.get(asset_id)
        if row is None:
            rows[asset_id] = AssetRow(asset_id, before.state, 0, False, before.attempts + 1, None, now_ms)
        else:
            row.attempts = before.attempts + 1


def _postpone(stage: Stage, update: StageUpdate, now_ms: int) -> None:
    watermark_at = update.policy.watermark_after(now_ms)
    if watermark_at is None or stage.watermark_at is None:
        return
    if update.postpone_max_ms is not None:
        watermark_at = min(watermark_at, stage.created_at + update.postpone_max_ms)
    stage.watermark_at = max(stage.watermark_at, watermark_at)


def _measure_progress(stage: Stage) -> None:
    if stage.expected is not None:
        settled = 1.0 if stage.expected == 0 else min((stage.done + stage.failed) / stage.expected, 1.0)
        stage.progress = max(stage.progress, settled)


def _evaluate(stage: Stage, update: StageUpdate, change: StageChange, now_ms: int, *, has_news: bool) -> None:
    policy = update.policy
    rule = due_rule(
        expected=stage.expected,
        done=stage.done,
        failed=stage.failed,
        watermark_at=stage.watermark_at if update.expire else None,
        now_ms=now_ms,
        policy=policy,
    )
    if rule is None:
        return
    if fires(rule, policy):
        stage.completed_at = now_ms
        change.completion = _completion(stage, update, reason=rule.value)
    elif has_news or update.expire or any(o.state is AssetState.FAILED for o in update.outcomes):
        # A failure that is merely told again counts too: a replay that failed once more fails its job once more.
        change.fell_short = True
        stage.watermark_at = policy.watermark_after(now_ms)  # something else may bring its job back


def _completion(stage: Stage, update: StageUpdate, *, reason: str) -> Completion:
    return Completion(
        job_id=stage.job_id,
        stage=stage.stage,
        topic=update.topic,
        event_id=str(completion_event_id(stage.job_id, stage.stage)),
        total_assets=stage.done + stage.failed if stage.expected is None else stage.expected,
        processed_assets=stage.done,
        failed_assets=stage.failed,
        has_partial_completion=is_partial(stage.expected, stage.done),
        watermark_ttl=update.policy.watermark_ttl_seconds,
        reason=reason,
        processed_weight=stage.done_weight,
    )


def missing_assets_message(stage: Stage, failed_errors: Mapping[str, str | None], *, named_max: int) -> str:
    """Says which assets a stage lacks: the failed ones by name with their errors, the others by count."""
    named = [
        f"{asset_id} ({error})" if error else asset_id for asset_id, error in list(failed_errors.items())[:named_max]
    ]
    if stage.failed > len(named):
        named.append(f"{stage.failed - len(named)} more that failed")
    if stage.expected is None:
        named.append("an unknown number: the stage was never announced")
    elif stage.expected > stage.done + stage.failed:
        named.append(f"{stage.expected - stage.done - stage.failed} that never arrived")
    return f"stage {stage.stage} needs all its assets; missing: " + ", ".join(named)
