"""Why a stage fired, why another is still open, and what a job waits for, in words and with the way out.

Pure: it is told everything that is known of a stage or a job, and reads nothing itself. Times are epoch ms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from reelwork.ledger import Completion, CompletionPolicy, DeadLetter, Job, JobStatus, QueueDepth, Rule, StageStatus
from reelwork.ledger.records import AnnouncementConflict
from reelwork.ledger.rules import due_rule, fires, threshold_is_met, watermark_is_due

STUCK_AFTER_SECONDS: Final = 60.0
"""Without news for so long, what should have moved is stuck."""

NAMED_MAX: Final = 5
START_SERVER: Final = "run `reelwork serve` on this database: it relays, sweeps and moves jobs on"


class Cause(StrEnum):
    WORKING = "working"
    QUEUED = "queued"
    RETRYING = "retrying"
    NO_WORKER = "no worker"
    NOT_PUBLISHED = "not published"
    NOT_SWEPT = "not swept"
    NEVER_ANNOUNCED = "never announced"
    TOO_FEW_ARRIVED = "too few arrived"
    DEAD_LETTERS = "dead letters"
    FELL_SHORT = "fell short"
    CONFLICT = "announcement in conflict"
    PHASE_WAITS = "phase waits"
    NOTHING_CAME = "nothing came"


@dataclass(frozen=True, slots=True)
class Reason:
    """is_stuck: it will not pass by itself, or should have passed by now."""

    cause: Cause
    found: str
    fix: str | None = None
    is_stuck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEvidence:
    """All that is known of a stage.

    queues: those that feed it, as far as they hold something of its job. is_held: one of them does. services: who takes
    from them. letters: not replayed. failed: errors by asset id. last_news_at: an asset, an announcement, or a sign of
    life of a worker.
    """

    job: Job
    stage: StageStatus
    policy: CompletionPolicy
    queues: Sequence[QueueDepth]
    is_held: bool
    services: Mapping[str, str]
    announced_by: str | None
    letters: Sequence[DeadLetter]
    failed: Mapping[str, str | None]
    conflicts: Sequence[AnnouncementConflict]
    last_news_at: int
    now_ms: int
    stuck_after_ms: int

    @property
    def is_silent(self) -> bool:
        return self.now_ms - self.last_news_at >= self.stuck_after_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvidence:
    """What is known of a job besides its stages.

    queues: those that feed no stage, as far as they hold something of it. is_held: any queue does. phase_stages: what
    its phase waits for, None where a service ends it. settles_at: when its phase should have ended, all its stages
    being complete. unpublished_since: birth of the oldest event that no broker has, of any job.
    """

    job: Job
    stages: Sequence[StageStatus]
    queues: Sequence[QueueDepth]
    is_held: bool
    services: Mapping[str, str]
    phase_stages: Sequence[str] | None
    settles_at: int | None
    unpublished_since: int | None
    now_ms: int
    stuck_after_ms: int


def why_fired(completion: Completion, policy: CompletionPolicy) -> str:
    """The rule and its numbers, as frozen in the completion; the percentage asked is left out where it has changed."""
    total, done, failed = completion.total_assets, completion.processed_assets, completion.failed_assets
    counted = f"{done} of {total} done" + (f", {failed} failed" if failed else "")
    match completion.reason:
        case Rule.THRESHOLD if threshold_is_met(total, done, policy.threshold):
            detail = f", {policy.threshold:f} % asked"
        case Rule.WATERMARK:
            ttl = completion.watermark_ttl
            # With its announcement, a stage of which everything came would have fired by another rule.
            detail = ", never announced" if done + failed == total else ""
            detail += "" if ttl is None else f", and nothing new for {span(round(ttl * 1000))}"
        case _:
            detail = ""
    return f"{completion.reason}: {counted}{detail}"


def watermark_words(evidence: StageEvidence) -> str | None:
    """When an open stage completes without further news."""
    stage = evidence.stage
    if stage.watermark_at is None or stage.completed_at is not None or stage.closed_at is not None:
        return None
    left_ms = stage.watermark_at - evidence.now_ms
    if left_ms > 0:
        return f"in {span(left_ms)}"
    overdue = f"due {span(-left_ms)} ago"
    if evidence.is_held:
        holding = "; ".join(_contents(queue) for queue in evidence.queues) or "messages wait in a queue"
        return f"{overdue}, held back: {holding}"
    return overdue


def why_open(evidence: StageEvidence) -> list[Reason]:
    """Why a stage has not completed, the most telling first; nothing for one that is over."""
    stage = evidence.stage
    if stage.completed_at is not None or stage.closed_at is not None:
        return []
    reasons: list[Reason] = []
    if evidence.job.status is JobStatus.FAILED:
        reasons.append(_short(evidence))
    else:
        reasons += _of_queues(evidence.queues, evidence.services, evidence.now_ms, evidence.stuck_after_ms)
        if not evidence.is_held:
            reasons += _not_coming(evidence)
    if evidence.letters:
        reasons.append(_dead_letters(evidence))
    reasons += [_conflict(conflict) for conflict in evidence.conflicts]
    return reasons


def why_waiting(evidence: JobEvidence) -> list[Reason]:
    """What a live job waits for, besides what is said of its stages."""
    job = evidence.job
    if job.status.is_terminal:
        return []
    reasons = _of_queues(evidence.queues, evidence.services, evidence.now_ms, evidence.stuck_after_ms)
    since = evidence.unpublished_since
    if since is not None and evidence.now_ms - since >= evidence.stuck_after_ms:
        found = f"events wait since {span(evidence.now_ms - since)} to be published; no relay runs"
        reasons.append(Reason(Cause.NOT_PUBLISHED, found, START_SERVER, True))
    is_lost = since is None and not evidence.is_held and evidence.now_ms - job.updated_at >= evidence.stuck_after_ms
    if job.phase is None:
        if is_lost:
            reasons.append(_lost(job, f"it is {job.status}, and its first message waits in no queue"))
    elif evidence.phase_stages is None:
        if is_lost:
            reasons.append(_lost(job, f"a service must end phase {job.phase}, and no message waits for one"))
    else:
        reasons += _of_phase(evidence, evidence.phase_stages, is_lost=is_lost)
    return reasons


def span(milliseconds: int) -> str:
    """A length of time as a person says it: 3 s, 12 min, 5 h, 2 d."""
    seconds = milliseconds / 1000
    for limit, size, unit in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{round(seconds / size)} {unit}"
    return f"{round(seconds / 86_400)} d"


def _of_phase(evidence: JobEvidence, names: Sequence[str], *, is_lost: bool) -> Iterator[Reason]:
    by_name = {stage.stage: stage for stage in evidence.stages}
    phase = evidence.job.phase
    for name in names:
        stage = by_name.get(name)
        if stage is None:
            found = f"phase {phase} waits for stage {name}, which was not announced and has no assets"
            fix = (
                f"look who should announce it: `reelwork dead-letters list --job {evidence.job.job_id}`"
                if is_lost
                else None
            )
            yield Reason(Cause.NOTHING_CAME, found, fix, is_lost)
        elif stage.completed_at is None:
            yield Reason(Cause.PHASE_WAITS, f"phase {phase} waits for stage {name}, which is open")
    if evidence.settles_at is not None:
        overdue_ms = evidence.now_ms - evidence.settles_at
        if overdue_ms >= evidence.stuck_after_ms:
            found = (
                f"all stages of phase {phase} are complete since {span(overdue_ms)}, and nobody has moved the job on"
            )
            yield Reason(Cause.NOT_SWEPT, found, START_SERVER, True)


def _lost(job: Job, found: str) -> Reason:
    fix = f"`reelwork dead-letters list --job {job.job_id}`, else cancel it and submit it again"
    return Reason(Cause.NOTHING_CAME, found, fix, True)


def _of_queues(
    queues: Sequence[QueueDepth], services: Mapping[str, str], now_ms: int, stuck_after_ms: int
) -> list[Reason]:
    reasons = []
    for queue in queues:
        service = services.get(queue.queue)
        since = queue.oldest_waiting_at
        waited_ms = 0 if since is None else now_ms - since
        if queue.takeable and not queue.is_worked_on and waited_ms >= stuck_after_ms:
            found = f"{_contents(queue)}, the oldest for {span(waited_ms)}, and no worker takes them"
            fix = "start workers: `reelwork worker" + (f" {service}`" if service else "`")
            reasons.append(Reason(Cause.NO_WORKER, found, fix, True))
        elif queue.in_hand:
            reasons.append(Reason(Cause.WORKING, _contents(queue)))
        elif queue.takeable:
            behind = ", behind other jobs" if queue.is_worked_on else ""
            reasons.append(Reason(Cause.QUEUED, _contents(queue) + behind))
        else:
            reasons.append(Reason(Cause.RETRYING, _contents(queue)))
    return reasons


def _contents(queue: QueueDepth) -> str:
    """Such as: 4 messages wait in q.x, 1 of them left by a worker; 2 are being worked on."""
    parts = []
    if queue.takeable:
        left = f" ({queue.abandoned} left by workers whose leases ended)" if queue.abandoned else ""
        parts.append(f"{_messages(queue.takeable)} in {queue.queue}{left}")
    if queue.in_hand:
        parts.append(f"{queue.in_hand} of {queue.queue} being worked on")
    if queue.pausing:
        parts.append(f"{queue.pausing} of {queue.queue} waiting for another attempt")
    return ", ".join(parts)


def _messages(count: int) -> str:
    return "1 message waits" if count == 1 else f"{count} messages wait"


def _not_coming(evidence: StageEvidence) -> Iterator[Reason]:
    """Why a stage is open of which no queue holds anything."""
    stage, policy = evidence.stage, evidence.policy
    rule = due_rule(
        expected=stage.expected,
        done=stage.done,
        failed=stage.failed,
        watermark_at=None,
        now_ms=evidence.now_ms,
        policy=policy,
    )
    due_since = evidence.last_news_at if fires(rule, policy) else stage.watermark_at
    is_due = fires(rule, policy) or watermark_is_due(stage.watermark_at, evidence.now_ms)
    if is_due and due_since is not None:
        overdue_ms = evidence.now_ms - due_since
        why = f"rule `{rule}` holds" if rule is not None and fires(rule, policy) else "its watermark has passed"
        found = f"{why} since {span(overdue_ms)}, and it has not fired; no sweeper runs"
        if overdue_ms >= evidence.stuck_after_ms:
            yield Reason(Cause.NOT_SWEPT, found, START_SERVER, True)
    if stage.expected is None:
        yield _never_announced(evidence)
    elif not stage.is_settled:
        yield _too_few(evidence)
    elif not policy.allow_partial and stage.done < stage.expected:
        yield _short(evidence)


def _never_announced(evidence: StageEvidence) -> Reason:
    stage = evidence.stage
    topic = f" ({evidence.announced_by})" if evidence.announced_by else ""
    found = (
        f"{stage.done + stage.failed} assets came ({stage.done} done, {stage.failed} failed), "
        f"and no announcement{topic} has said how many there will be"
    )
    return Reason(Cause.NEVER_ANNOUNCED, found, f"send the announcement{topic}; {_else(evidence)}", evidence.is_silent)


def _too_few(evidence: StageEvidence) -> Reason:
    stage = evidence.stage
    assert stage.expected is not None
    came = stage.done + stage.failed
    found = (
        f"{came} of {stage.expected} announced assets arrived, nothing of the other {stage.expected - came} waits in a "
        f"queue, and the last news came {span(evidence.now_ms - evidence.last_news_at)} ago"
    )
    return Reason(Cause.TOO_FEW_ARRIVED, found, f"send the missing assets; {_else(evidence)}", evidence.is_silent)


def _else(evidence: StageEvidence) -> str:
    """What happens when nothing is done about it."""
    job_id, watermark_at = evidence.job.job_id, evidence.stage.watermark_at
    if watermark_at is None:
        return f"it has no watermark, so else it stays open: `reelwork cancel {job_id}` ends its job"
    when = f"in {span(watermark_at - evidence.now_ms)}" if watermark_at > evidence.now_ms else "at the next sweep"
    if evidence.policy.allow_partial:
        return f"else it completes with what it has {when}"
    return f"else its job fails {when}, for it needs all its assets"


def _short(evidence: StageEvidence) -> Reason:
    stage = evidence.stage
    named = [f"{asset_id} ({error})" if error else asset_id for asset_id, error in evidence.failed.items()][:NAMED_MAX]
    if stage.failed > len(named):
        named.append(f"{stage.failed - len(named)} more that failed")
    if stage.expected is not None and stage.expected > stage.done + stage.failed:
        named.append(f"{stage.expected - stage.done - stage.failed} that never arrived")
    needs = "it needs all its assets" if not evidence.policy.allow_partial else "its job failed before it was complete"
    found = f"{needs}; missing: {', '.join(named) or 'the announcement'}"
    fix = None
    if evidence.letters:
        fix = _replay_command(evidence)
    elif not evidence.policy.allow_partial:
        fix = "send what is missing, or submit the job again: no dead letter is left to be replayed"
    return Reason(Cause.FELL_SHORT, found, fix, evidence.is_silent)


def _dead_letters(evidence: StageEvidence) -> Reason:
    errors = list(dict.fromkeys(letter.error for letter in evidence.letters))
    more = f", and {len(errors) - 1} other errors" if len(errors) > 1 else ""
    found = f"{len(evidence.letters)} of its messages failed for good: {errors[0]}{more}"
    is_stuck = evidence.is_silent and not evidence.is_held
    return Reason(Cause.DEAD_LETTERS, found, _replay_command(evidence), is_stuck)


def _replay_command(evidence: StageEvidence) -> str:
    job_id, stage = evidence.job.job_id, evidence.stage.stage
    return f"mend the cause, then `reelwork dead-letters replay --job {job_id} --stage {stage}`"


def _conflict(conflict: AnnouncementConflict) -> Reason:
    had = "none" if conflict.expected is None else str(conflict.expected)
    found = f"an announcement of {conflict.announced} had no effect: {had} were announced before"
    return Reason(Cause.CONFLICT, found, "announce each stage once, or grow it before it completes")
