"""`JobProgressManager`: the thin face of the ledger for whoever counts assets and wants to hear once that a stage is
done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, Final

from reelwork.events import Event, StageEnd
from reelwork.ledger.base import Ledger
from reelwork.ledger.records import AssetState, Completion, StageStatus
from reelwork.ledger.rules import CompletionPolicy, Rule, due_rule, fires, watermark_has_strayed
from reelwork.ledger.work import AssetOutcome, PayloadOf, StageUpdate, Work

PROGRESS_ASSETS_PER_WORK_MAX: Final = 10_000  # a write transaction of some 100 ms: others must have their turn


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRule:
    """How one stage completes. None = the manager's default policy, the topic `<stage>.completed`."""

    policy: CompletionPolicy | None = None
    completes_with: type[Event] | str | None = None

    @property
    def topic(self) -> str | None:
        event = self.completes_with
        return event.topic if isinstance(event, type) else event

    @property
    def payload_of(self) -> PayloadOf | None:
        event = self.completes_with
        return event.payload_of if isinstance(event, type) and issubclass(event, StageEnd) else None


class BaseJobProgressManager:
    """Knows each stage's policy and completion topic, and turns news of a stage into one work."""

    def __init__(
        self, *, policy: CompletionPolicy | None = None, stages: Mapping[str, StageRule] | None = None
    ) -> None:
        self._policy = policy or CompletionPolicy()
        self._stages = dict(stages or {})

    def policy_of(self, stage: str) -> CompletionPolicy:
        rule = self._stages.get(stage)
        return self._policy if rule is None or rule.policy is None else rule.policy

    def topic_of(self, stage: str) -> str:
        rule = self._stages.get(stage)
        return f"{stage}.completed" if rule is None or rule.topic is None else rule.topic

    def is_due(self, status: StageStatus, *, now_ms: int, with_watermark: bool) -> bool:
        """Whether a look at the stage would change it, by its policy of now: a rule holds, or its watermark strayed."""
        policy = self.policy_of(status.stage)
        rule = due_rule(
            expected=status.expected,
            done=status.done,
            failed=status.failed,
            watermark_at=status.watermark_at if with_watermark else None,
            now_ms=now_ms,
            policy=policy,
        )
        if fires(rule, policy) or rule is Rule.WATERMARK:
            return True
        return watermark_has_strayed(status.watermark_at, now_ms, policy)

    def announcement(self, job_id: str, stage: str, expected: int) -> StageUpdate:
        return self._update(job_id, stage, expected=expected)

    def outcomes(self, job_id: str, stage: str, outcomes: list[AssetOutcome]) -> StageUpdate:
        return self._update(job_id, stage, outcomes=outcomes)

    def started(self, job_id: str, stage: str, asset_ids: Iterable[str]) -> StageUpdate:
        return self._update(job_id, stage, started=[*asset_ids])

    def expiry(self, job_id: str, stage: str) -> StageUpdate:
        return self._update(job_id, stage, expire=True)

    def reevaluation(self, job_id: str, stage: str) -> StageUpdate:
        return self._update(job_id, stage)

    def postponement(self, job_id: str, stage: str, *, postpone_max_ms: int) -> StageUpdate:
        return self._update(job_id, stage, postpone=True, postpone_max_ms=postpone_max_ms)

    def _update(self, job_id: str, stage: str, **news: Any) -> StageUpdate:
        rule = self._stages.get(stage)
        return StageUpdate(
            job_id=job_id,
            stage=stage,
            topic=self.topic_of(stage),
            policy=self.policy_of(stage),
            payload_of=None if rule is None else rule.payload_of,
            **news,
        )


class JobProgressManager(BaseJobProgressManager):
    """Counts assets by identity and says exactly once that a stage is complete.

    The `Completion` comes back to exactly one caller, in whatever process: the one whose news fired it. Its event is
    in the outbox by then. `clock` gives epoch seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        policy: CompletionPolicy | None = None,
        stages: Mapping[str, StageRule] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(policy=policy, stages=stages)
        self._ledger = ledger
        self._clock = clock

    def update_expected_and_recheck_completion(self, job_id: str, stage: str, expected: int) -> Completion | None:
        """Announces how many assets the stage will get, before, between or after them; 0 is normal."""
        return self._commit(self.announcement(job_id, stage, expected))

    def update_job_progress(
        self, job_id: str, stage: str, *, done: Iterable[str] = (), failed: Iterable[str] = ()
    ) -> Completion | None:
        """Records outcomes by asset id, any number at once; an id told again counts once.

        Up to 10,000 ids (PROGRESS_ASSETS_PER_WORK_MAX) are recorded all or nothing. More, from any iterables, go in as
        many works of that size, so that neither memory nor the time others wait for the database grows with them: the
        completion may fire in the middle and is returned at the end. If one of them is refused (an id that is none:
        InvalidWork) or the store fails, those before it stay recorded; the same call can simply be made again.
        """
        completion = None
        outcomes = chain(map(AssetOutcome, done), map(AssetOutcome, failed, repeat(AssetState.FAILED)))
        group = list(islice(outcomes, PROGRESS_ASSETS_PER_WORK_MAX))
        while True:
            completion = self._commit(self.outcomes(job_id, stage, group)) or completion
            group = list(islice(outcomes, PROGRESS_ASSETS_PER_WORK_MAX))
            if not group:
                return completion

    def expire_watermarks(self) -> list[Completion]:
        """Completes what is due by now: open stages past their watermark, or past a threshold that was lowered."""
        completions: list[Completion] = []
        after = None
        while page := self._ledger.open_stages(after=after):
            now_ms = self._now_ms()
            due = [stage for stage in page if self.is_due(stage, now_ms=now_ms, with_watermark=True)]
            works = [self._work(self.expiry(stage.job_id, stage.stage)) for stage in due]
            for result in self._ledger.commit_all(works):
                if isinstance(result, Exception):
                    raise result
                completions += result
            after = (page[-1].job_id, page[-1].stage)
        return completions

    def stage_status(self, job_id: str) -> list[StageStatus]:
        return self._ledger.stage_status(job_id)

    def _commit(self, update: StageUpdate) -> Completion | None:
        completions = self._ledger.commit(self._work(update))
        return completions[0] if completions else None

    def _work(self, update: StageUpdate) -> Work:
        return Work(stages=[update], at_ms=self._now_ms())

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)
