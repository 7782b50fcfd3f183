"""The ledger as section 3 of the design tells it: sets, fractions and one step after another.

It shares no code with the product, so that the two cannot be wrong in the same way.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

ALIVE = ("pending", "running")
MOVES = {
    "pending": ("running", "failed", "cancelled"),
    "running": ("completed", "failed", "cancelled"),
    "failed": ("running",),
    "completed": (),
    "cancelled": (),
}


@dataclass(frozen=True)
class Terms:
    """When a stage is complete: percent, milliseconds, and whether less than all will do."""

    percent: Fraction
    ttl_ms: int | None
    allow_partial: bool = True


@dataclass(frozen=True)
class Announced:
    job_id: str
    stage: str
    expected: int


@dataclass(frozen=True)
class Recorded:
    job_id: str
    stage: str
    state: str
    assets: tuple[str, ...]


@dataclass(frozen=True)
class LookedAt:
    """Somebody asks whether the watermark has passed."""

    job_id: str
    stage: str


News = Announced | Recorded | LookedAt


@dataclass(frozen=True)
class Letter:
    """A message that failed for good. Without a stage it failed its job."""

    job_id: str
    stage: str | None


@dataclass(frozen=True)
class Step:
    """What is recorded all or nothing. `move`: a job and where it shall go."""

    news: tuple[News, ...] = ()
    inbox: str | None = None
    move: tuple[str, str] | None = None
    letter: Letter | None = None
    replay: int | None = None


class Refused(Exception):
    """The step must leave nothing behind."""


@dataclass
class ModelStage:
    terms: Terms
    expected: int | None = None
    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    watermark_at: int | None = None
    fired: tuple[int, int, int, bool, str] | None = None
    is_closed: bool = False
    progress: Fraction = Fraction(0)
    conflicts: list[tuple[int | None, int]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.fired is None and not self.is_closed

    def has_passed(self, now_ms: int) -> bool:
        return self.watermark_at is not None and now_ms >= self.watermark_at

    def reasons(self, *, has_passed: bool) -> list[str]:
        """Every rule that holds, the first first, whether or not less than all will do."""
        reasons = []
        if self.expected is not None:
            if len(self.done) >= self.expected:
                reasons.append("all")
            if len(self.done | self.failed) >= self.expected:
                reasons.append("settled")
            if self.terms.allow_partial and len(self.done) >= self.expected * self.terms.percent / 100:
                reasons.append("threshold")
        if has_passed:
            reasons.append("watermark")
        return reasons

    def may_fire(self, reason: str) -> bool:
        return self.terms.allow_partial or reason == "all"

    def fire(self, reason: str) -> None:
        total = len(self.done | self.failed) if self.expected is None else self.expected
        is_partial = self.expected is None or len(self.done) < self.expected
        self.fired = (total, len(self.done), len(self.failed), is_partial, reason)


@dataclass
class ModelJob:
    status: str = "pending"
    short_stage: str | None = None


class Model:
    def __init__(self, terms: dict[str, Terms]) -> None:
        self.terms = terms
        self.jobs: dict[str, ModelJob] = {}
        self.stages: dict[tuple[str, str], ModelStage] = {}
        self.consumed: set[str] = set()
        self.letters: list[tuple[Letter, bool]] = []

    def submit(self, job_id: str) -> None:
        if job_id in self.jobs:
            raise Refused
        self.jobs[job_id] = ModelJob()

    def apply(self, step: Step, now_ms: int) -> list[tuple[str, str]]:
        """The stages that this very step completes. Raises Refused, and then nothing has changed."""
        if step.inbox is not None and step.inbox in self.consumed:
            return []
        self._check(step)
        if step.inbox is not None:
            self.consumed.add(step.inbox)
        if step.move is not None:
            self._move(*step.move)
        if step.replay is not None:
            letter, _ = self.letters[step.replay]
            self.letters[step.replay] = (letter, True)
            job = self.jobs.get(letter.job_id)
            if letter.stage is None and job is not None and job.status == "failed":
                self._move(letter.job_id, "running")
        fired = [key for news in step.news if (key := self._hear(news, now_ms)) is not None]
        if step.letter is not None and (step.letter, False) not in self.letters:
            self.letters.append((step.letter, False))
        return fired

    def sweep(self, now_ms: int) -> list[tuple[str, str]]:
        """Looks at every open stage that a look would change."""
        due = [key for key, stage in sorted(self.stages.items()) if stage.is_open and self._is_due(stage, now_ms)]
        return [key for key in due if self._hear(LookedAt(*key), now_ms) is not None]

    def story(self, job_id: str) -> dict[str, Any]:
        """All that a ledger must tell of the job."""
        return {
            "status": self.jobs[job_id].status if job_id in self.jobs else None,
            "letters": [(letter.stage, is_replayed) for letter, is_replayed in self.letters if letter.job_id == job_id],
            "stages": {name: _story(stage) for (owner, name), stage in self.stages.items() if owner == job_id},
        }

    def fork(self) -> Model:
        return deepcopy(self)

    def _check(self, step: Step) -> None:
        if step.move is not None:
            job_id, to = step.move
            if job_id not in self.jobs or to not in (self.jobs[job_id].status, *MOVES[self.jobs[job_id].status]):
                raise Refused
        if step.replay is not None:
            if step.replay >= len(self.letters) or self.letters[step.replay][1]:
                raise Refused
            job = self.jobs.get(self.letters[step.replay][0].job_id)
            if job is not None and job.status == "cancelled":
                raise Refused

    def _move(self, job_id: str, to: str) -> None:
        job = self.jobs[job_id]
        if (job.status, to) == ("failed", "running"):
            job.short_stage = None
        job.status = to
        if to == "cancelled":
            for (owner, _), stage in self.stages.items():
                stage.is_closed |= owner == job_id and stage.fired is None

    def _is_due(self, stage: ModelStage, now_ms: int) -> bool:
        reasons = stage.reasons(has_passed=stage.has_passed(now_ms))
        if reasons and (stage.may_fire(reasons[0]) or reasons[0] == "watermark"):
            return True
        return self._has_strayed(stage, now_ms)

    def _hear(self, news: News, now_ms: int) -> tuple[str, str] | None:
        key = (news.job_id, news.stage)
        is_first = key not in self.stages
        is_cancelled = news.job_id in self.jobs and self.jobs[news.job_id].status == "cancelled"
        if is_first:
            self.stages[key] = ModelStage(self.terms[news.stage], is_closed=is_cancelled)
        stage = self.stages[key]
        is_news = self._announce(stage, news) if isinstance(news, Announced) else False
        is_news |= self._record(stage, news, is_cancelled=is_cancelled) if isinstance(news, Recorded) else False
        if is_news or is_first or self._has_strayed(stage, now_ms):
            self._wind(stage, now_ms)
        if stage.expected is not None:
            settled = len(stage.done | stage.failed)
            share = Fraction(settled, stage.expected) if stage.expected else Fraction(1)
            stage.progress = max(stage.progress, min(share, Fraction(1)))
        return key if stage.is_open and self._decide(key, news, is_news=is_news, now_ms=now_ms) else None

    def _announce(self, stage: ModelStage, news: Announced) -> bool:
        if news.expected == stage.expected:
            return False
        if stage.fired is not None or (stage.expected is not None and news.expected < stage.expected):
            stage.conflicts.append((stage.expected, news.expected))
            return False
        stage.expected = news.expected
        return True

    def _record(self, stage: ModelStage, news: Recorded, *, is_cancelled: bool) -> bool:
        if news.state == "done":
            fresh = set(news.assets) - stage.done
            stage.done |= fresh
            stage.failed -= fresh
            stage.told |= set() if is_cancelled else fresh
        else:
            fresh = set(news.assets) - stage.done - stage.failed
            stage.failed |= fresh
        if stage.fired is not None:
            stage.late |= fresh
        return bool(fresh)

    def _decide(self, key: tuple[str, str], news: News, *, is_news: bool, now_ms: int) -> bool:
        stage, job = self.stages[key], self.jobs.get(key[0])
        is_look = isinstance(news, LookedAt)
        reasons = stage.reasons(has_passed=is_look and stage.has_passed(now_ms))
        if not reasons:
            return False
        if stage.may_fire(reasons[0]):
            stage.fire(reasons[0])
            if job is not None and job.status == "failed" and job.short_stage == key[1]:
                self._move(key[0], "running")
            return True
        if is_news or is_look or (isinstance(news, Recorded) and news.state == "failed" and news.assets):
            self._wind(stage, now_ms)
            if job is not None and job.status in ALIVE:
                job.status, job.short_stage = "failed", key[1]
        return False

    def _wind(self, stage: ModelStage, now_ms: int) -> None:
        stage.watermark_at = None if stage.terms.ttl_ms is None else now_ms + stage.terms.ttl_ms

    @staticmethod
    def _has_strayed(stage: ModelStage, now_ms: int) -> bool:
        ttl_ms = stage.terms.ttl_ms
        return ttl_ms is not None and stage.watermark_at is not None and stage.watermark_at > now_ms + ttl_ms


def _story(stage: ModelStage) -> dict[str, Any]:
    return {
        "expected": stage.expected,
        "done": sorted(stage.done),
        "failed": sorted(stage.failed),
        "late": sorted(stage.late),
        "told": sorted(stage.told),
        "watermark_at": stage.watermark_at if stage.is_open else None,
        "fired": stage.fired,
        "is_closed": stage.is_closed,
        "progress": float(stage.progress),
        "conflicts": stage.conflicts,
    }
