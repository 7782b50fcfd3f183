"""How a group of works changes the ledger: one algorithm for every store, on the few primitives of a `Transaction`.

Nothing of a work is applied before everything that could refuse it has been checked, so a refused work leaves its
neighbours in the group untouched. Lock order, the same in every process: births of stages, dead letters, jobs, stage
rows by (job, stage), then assets sorted by id.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from reelwork.errors import InvalidWork, JobTransitionRefused, ReelworkError
from reelwork.events import JobFailed, stable_event_id
from reelwork.ledger.job import JobExists, JobState, refusal_of
from reelwork.ledger.records import (
    AnnouncementConflict,
    Completion,
    DeadLetter,
    JobStatus,
    Known,
    Recorded,
)
from reelwork.ledger.stage import AssetRow, Stage, apply_update, missing_assets_message
from reelwork.ledger.work import (
    Inbox,
    JobMove,
    NewDeadLetter,
    NewJob,
    PayloadOf,
    Work,
    error_text,
    outgoing,
    storable_text,
)
from reelwork.message import Message

MISSING_ASSETS_NAMED_MAX = 20

StageKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a group must see, and whom it must keep away from what until it is committed; every list is sorted.

    stages: to be changed, with the assets told of. letters: to be replayed. moving: jobs that the group may move; so
    are those of its letters and of stages that are born now. closing: jobs that may be cancelled, with all their
    stages. reading: jobs that are only looked at.
    """

    stages: Sequence[StageKey]
    assets: Mapping[StageKey, Sequence[str]]
    letters: Sequence[int]
    moving: Sequence[str]
    closing: Sequence[str]
    reading: Sequence[str]
    job_keys: Sequence[str]
    inbox: Sequence[Inbox]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What of it is there. job_keys: by idempotency key, the job that was created with it."""

    stages: dict[StageKey, Stage]
    known: Mapping[StageKey, dict[str, Known]]
    letters: Mapping[int, DeadLetter]
    jobs: dict[str, JobState]
    job_keys: dict[str, str]
    consumed: set[Inbox]


class Transaction(Protocol):
    """What a store can do inside one of its transactions. Every method is set-wise: a group costs a few statements."""

    def load(self, needs: Needs) -> Loaded: ...
    def failed_assets(self, key: StageKey, limit: int) -> dict[str, str | None]: ...
    def insert_job(self, job: NewJob, now_ms: int) -> None: ...
    def save_jobs(self, jobs: Mapping[str, JobState], now_ms: int) -> None: ...
    def close_stages(self, job_ids: Collection[str], now_ms: int) -> None: ...
    def save_stages(self, stages: Sequence[Stage]) -> None: ...
    def complete_stages(self, completions: Sequence[tuple[Completion, int]]) -> None: ...
    def write_assets(self, key: StageKey, rows: Sequence[AssetRow]) -> None: ...
    def insert_conflicts(self, conflicts: Sequence[AnnouncementConflict]) -> None: ...
    def insert_inbox(self, pairs: Sequence[Inbox], now_ms: int) -> None: ...
    def insert_dead_letters(self, letters: Sequence[NewDeadLetter], now_ms: int) -> None: ...
    def mark_replayed(self, dead_letter_ids: Sequence[int], now_ms: int) -> None: ...
    def insert_events(self, events: Sequence[Message], now_ms: int) -> None: ...
    def lost(self, receipts: Sequence[object]) -> set[object]: ...
    def acknowledge(self, receipts: Sequence[object]) -> None: ...
    def show_early(self) -> None: ...


@dataclass(slots=True)
class _Group:
    """The rows a group has read and will write."""

    transaction: Transaction
    now_ms: int
    stages: dict[StageKey, Stage] = field(default_factory=dict)
    known: dict[StageKey, dict[str, Known]] = field(default_factory=dict)
    rows: dict[StageKey, dict[str, AssetRow]] = field(default_factory=dict)
    letters_to_replay: Mapping[int, DeadLetter] = field(default_factory=dict)
    jobs: dict[str, JobState] = field(default_factory=dict)
    job_keys: dict[str, str] = field(default_factory=dict)
    has_new_jobs: bool = False
    dirty_jobs: set[str] = field(default_factory=set)
    closing_jobs: set[str] = field(default_factory=set)
    consumed: set[Inbox] = field(default_factory=set)
    lost: set[object] = field(default_factory=set)
    inbox: list[Inbox] = field(default_factory=list)
    completions: list[tuple[Completion, int]] = field(default_factory=list)
    conflicts: list[AnnouncementConflict] = field(default_factory=list)
    letters: list[NewDeadLetter] = field(default_factory=list)
    replayed: list[int] = field(default_factory=list)
    events: list[Message] = field(default_factory=list)
    receipts: list[object] = field(default_factory=list)


def apply_group(transaction: Transaction, works: Sequence[Work], now_ms: int) -> list[list[Completion] | ReelworkError]:
    """Applies the works in order and writes what they changed.

    One result a work: its completions, or why it was refused.
    """
    group = _Group(transaction, now_ms)
    _load(group, works)
    results: list[list[Completion] | ReelworkError] = []
    for work in works:
        group.now_ms = now_ms if work.at_ms is None else work.at_ms
        results.append(_apply(group, work))
    _save(group, now_ms)
    return results


def _load(group: _Group, works: Sequence[Work]) -> None:
    needs = _needs(works)
    loaded = group.transaction.load(needs)
    group.stages = loaded.stages
    group.known = {key: loaded.known.get(key, {}) for key in needs.stages}
    group.rows = {key: {} for key in needs.stages}
    group.letters_to_replay = loaded.letters
    group.jobs = loaded.jobs
    group.job_keys = loaded.job_keys
    group.consumed = loaded.consumed
    if any(work.dead_letters and work.receipts for work in works):  # all are locked, as they are in their order only
        group.lost = group.transaction.lost([receipt for work in works for receipt in work.receipts])


def _needs(works: Sequence[Work]) -> Needs:
    updates = [update for work in works for update in work.stages]
    assets: dict[StageKey, set[str]] = {update.key: set() for update in updates}
    for update in updates:
        assets[update.key].update(outcome.asset_id for outcome in update.outcomes)
        assets[update.key].update(update.started)
    moves = [move for work in works for move in work.moves]
    births = [work.new_job for work in works if work.new_job is not None]
    moving = {move.job_id for move in moves} | {job.job_id for job in births}
    moving |= {update.job_id for update in updates if not update.policy.allow_partial}
    reading = {event.job_id for work in works if work.inbox or work.stages for event in work.events}
    reading |= {update.job_id for update in updates if any(outcome.events for outcome in update.outcomes)}
    return Needs(
        stages=sorted(assets),
        assets={key: sorted(ids) for key, ids in assets.items()},
        letters=sorted({work.replay for work in works if work.replay is not None}),
        moving=sorted(moving),
        closing=sorted({move.job_id for move in moves if move.to is JobStatus.CANCELLED}),
        reading=sorted(reading - moving),
        job_keys=sorted({job.idempotency_key for job in births if job.idempotency_key is not None}),
        inbox=sorted({pair for work in works for pair in (work.inbox, work.unless_consumed, *work.consumed) if pair}),
    )


def _apply(group: _Group, work: Work) -> Recorded | ReelworkError:
    if work.inbox in group.consumed or work.unless_consumed in group.consumed:
        group.receipts.extend(work.receipts)
        return Recorded()
    if work.dead_letters and not group.lost.isdisjoint(work.receipts):
        return Recorded()
    try:
        new_job = _checked_new_job(group, work.new_job)
        moves = _accepted_moves(group, work.moves, new_job)
        letter = _letter_to_replay(group, work.replay)
    except ReelworkError as refusal:
        return refusal
    if new_job is not None:
        _insert_job(group, new_job)
    for move in moves:
        _move(group, move)
    if letter is not None:
        _replay(group, letter)
    recorded = _update_stages(group, work)
    for event in work.events:
        if not _is_cancelled(group, event.job_id) or event.topic == "job.cancelled":
            group.events.append(outgoing(event))
    group.letters.extend(_storable(letter) for letter in work.dead_letters)
    for pair in work.consumed if work.inbox is None else (work.inbox, *work.consumed):
        if pair not in group.consumed:
            group.consumed.add(pair)
            group.inbox.append(pair)
    group.receipts.extend(work.receipts)
    return recorded


def _accepted_moves(group: _Group, moves: Iterable[JobMove], new_job: NewJob | None) -> list[JobMove]:
    accepted = []
    moved = {} if new_job is None else {new_job.job_id: _newborn()}
    for move in moves:
        job = moved.get(move.job_id, group.jobs.get(move.job_id))
        refusal = refusal_of(job, move)
        if refusal is None and job is not None:
            accepted.append(move)
            moved[move.job_id] = JobState(move.to or job.status, move.phase or job.phase)
        elif refusal is not None and not move.lenient:
            raise refusal
    return accepted


def _move(group: _Group, move: JobMove) -> None:
    job = group.jobs[move.job_id]
    if move.to is JobStatus.CANCELLED:
        group.closing_jobs.add(move.job_id)
        for stage in group.stages.values():
            if stage.job_id == move.job_id and stage.is_open:
                stage.closed_at = group.now_ms
    job.apply(move)
    group.dirty_jobs.add(move.job_id)


def _checked_new_job(group: _Group, job: NewJob | None) -> NewJob | None:
    """The job that is to be inserted."""
    if job is None or (job.if_absent and job.job_id in group.jobs):
        return None
    if job.idempotency_key is not None:
        existing = group.job_keys.get(job.idempotency_key)
        if existing is not None:
            raise JobExists(existing)
    if job.job_id in group.jobs:
        raise InvalidWork(f"there is a job {job.job_id} already; a new job needs an id of its own")
    return job


def _newborn() -> JobState:
    return JobState(JobStatus.PENDING, None)


def _insert_job(group: _Group, job: NewJob) -> None:
    group.transaction.insert_job(job, group.now_ms)
    group.has_new_jobs = True
    group.jobs[job.job_id] = _newborn()
    if job.idempotency_key is not None:
        group.job_keys[job.idempotency_key] = job.job_id


def _letter_to_replay(group: _Group, dead_letter_id: int | None) -> DeadLetter | None:
    if dead_letter_id is None:
        return None
    letter = group.letters_to_replay.get(dead_letter_id)
    if letter is None:
        raise ReelworkError(f"there is no dead letter {dead_letter_id}; list them to see which there are")
    if letter.replayed_at is not None or dead_letter_id in group.replayed:
        raise ReelworkError(
            f"dead letter {dead_letter_id} was replayed already; if it failed again it has a new number"
        )
    job = group.jobs.get(letter.job_id)
    if job is not None and job.status is JobStatus.CANCELLED:
        raise JobTransitionRefused(f"job {letter.job_id} is cancelled; its messages are not replayed")
    return letter


def _replay(group: _Group, letter: DeadLetter) -> None:
    group.replayed.append(letter.dead_letter_id)
    group.events.append(
        Message(letter.event_id, letter.job_id, letter.topic, letter.body, letter.queue, is_replay=True)
    )
    if letter.job_id in group.jobs:
        group.dirty_jobs.add(letter.job_id)  # it is touched: its objects are in use again, which the sweeper respects
    if letter.stage is None:
        _bring_back(group, letter.job_id)  # what failed the job is tried again; a stage brings it back when it is whole


def _bring_back(group: _Group, job_id: str) -> None:
    job = group.jobs.get(job_id)
    if job is not None and job.status is JobStatus.FAILED:
        _move(group, JobMove(job_id=job_id, allowed=frozenset({JobStatus.FAILED}), to=JobStatus.RUNNING))


def _update_stages(group: _Group, work: Work) -> Recorded:
    recorded = Recorded()
    for update in work.stages:
        stage = group.stages.get(update.key)
        if stage is None and update.postpone:
            continue  # no watermark is there to be put off; and the job may be one that has no such stage
        if stage is None:
            stage = Stage(update.job_id, update.stage, created_at=group.now_ms)
            if _is_cancelled(group, update.job_id):
                stage.closed_at = group.now_ms
            group.stages[update.key] = stage
        change = apply_update(
            stage, update, known=group.known[update.key], rows=group.rows[update.key], now_ms=group.now_ms
        )
        stage.is_dirty = True
        if change.conflict is not None:
            group.conflicts.append(change.conflict)
        if not _is_cancelled(group, update.job_id):
            group.events.extend(outgoing(event) for event in change.events)
        if change.completion is not None:
            recorded.append(change.completion)
            group.events.append(_outgoing_completion(change.completion, update.payload_of))
            if _has_failed_for(group, stage):
                _bring_back(group, stage.job_id)
        if change.fell_short:
            _fail_short(group, stage)
        if change.has_settled:
            recorded.settled.add(stage.job_id)
    group.completions.extend((completion, group.now_ms) for completion in recorded)
    return recorded


def _has_failed_for(group: _Group, stage: Stage) -> bool:
    job = group.jobs.get(stage.job_id)
    return job is not None and job.failed_stage == stage.stage


def _fail_short(group: _Group, stage: Stage) -> None:
    job = group.jobs.get(stage.job_id)
    if job is None or job.status not in (JobStatus.PENDING, JobStatus.RUNNING):
        return
    key = (stage.job_id, stage.stage)
    failed = {
        asset_id: row.outcome.error
        for asset_id, row in group.rows[key].items()
        if row.outcome is not None and group.known[key][asset_id].state == "failed"
    }
    before = group.transaction.failed_assets(key, MISSING_ASSETS_NAMED_MAX)
    mended = {asset_id for asset_id, known in group.known[key].items() if known.state == "done"}
    failed = {asset_id: error for asset_id, error in {**before, **failed}.items() if asset_id not in mended}
    message = error_text(missing_assets_message(stage, failed, named_max=MISSING_ASSETS_NAMED_MAX))
    allowed = frozenset({JobStatus.PENDING, JobStatus.RUNNING})
    _move(group, JobMove(job_id=stage.job_id, allowed=allowed, to=JobStatus.FAILED, error_message=message))
    job.failed_stage = stage.stage
    event_id = stable_event_id(f"{stage.job_id}/{stage.stage}/fell short/{group.now_ms}")
    group.events.append(outgoing(JobFailed(job_id=stage.job_id, event_id=event_id, reason=message)))


def _is_cancelled(group: _Group, job_id: str) -> bool:
    job = group.jobs.get(job_id)
    return job is not None and job.status is JobStatus.CANCELLED


def _storable(letter: NewDeadLetter) -> NewDeadLetter:
    """A message that failed for good is kept whatever it holds: what is no text may be why it failed."""
    return replace(
        letter,
        job_id=storable_text(letter.job_id),
        queue=storable_text(letter.queue),
        topic=storable_text(letter.topic),
        event_id=storable_text(letter.event_id),
        body=storable_text(letter.body),
    )


def _outgoing_completion(completion: Completion, payload_of: PayloadOf | None) -> Message:
    payload = completion.payload() if payload_of is None else payload_of(completion)
    body = json.dumps(payload, separators=(",", ":"))
    return Message(completion.event_id, completion.job_id, completion.topic, body)


def _tells_the_world(group: _Group) -> bool:
    """Whether somebody may act upon what the group records, who must not have acted upon what never was."""
    news = (group.completions, group.events, group.letters, group.replayed, group.conflicts)
    return group.has_new_jobs or bool(group.dirty_jobs) or any(news)


def _save(group: _Group, now_ms: int) -> None:
    transaction = group.transaction
    if not _tells_the_world(group):
        transaction.show_early()
    if group.dirty_jobs:
        transaction.save_jobs({job_id: group.jobs[job_id] for job_id in sorted(group.dirty_jobs)}, now_ms)
    if group.stages:
        transaction.save_stages([stage for stage in group.stages.values() if stage.is_dirty])
    for key, rows in group.rows.items():
        if rows:
            transaction.write_assets(key, [rows[asset_id] for asset_id in sorted(rows)])
    if group.completions:
        transaction.complete_stages(group.completions)
    if group.closing_jobs:
        transaction.close_stages(group.closing_jobs, now_ms)
    if group.conflicts:
        transaction.insert_conflicts(group.conflicts)
    if group.inbox:
        transaction.insert_inbox(group.inbox, now_ms)
    if group.letters:
        transaction.insert_dead_letters(group.letters, now_ms)
    if group.replayed:
        transaction.mark_replayed(group.replayed, now_ms)
    if group.events:
        transaction.insert_events(group.events, now_ms)
    if group.receipts:
        transaction.acknowledge(group.receipts)
