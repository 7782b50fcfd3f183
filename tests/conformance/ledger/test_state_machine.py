"""Hypothesis drives a store through any story it can think of, and compares it with a ledger of dicts and sets."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from reelwork.errors import JobTransitionRefused
from reelwork.ledger import (
    ALLOWED_TRANSITIONS,
    AssetOutcome,
    AssetState,
    BaseJobProgressManager,
    CompletionPolicy,
    Inbox,
    JobStatus,
    StageRule,
    Work,
)
from tests.clock import ManualClock
from tests.conformance.ledger.stores import STORES, Store, moved, new_job

JOBS = ["job-a", "job-b"]
POLICIES = {
    "most": CompletionPolicy(Decimal(60), 10),
    "patient": CompletionPolicy(Decimal(100), None),
    "needed": CompletionPolicy(Decimal(100), 10, allow_partial=False),
}
STAGES = BaseJobProgressManager(stages={name: StageRule(policy=policy) for name, policy in POLICIES.items()})
ANY_STATUS = frozenset(JobStatus)
JOB = st.sampled_from(JOBS)
STAGE = st.sampled_from(sorted(POLICIES))
ASSETS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4)
INBOX = st.none() | st.builds(Inbox, st.just("q"), st.sampled_from("123"))


@dataclass
class ModelStage:
    """A stage as section 3 of the design tells it, one asset after another."""

    policy: CompletionPolicy
    closed: bool = False
    expected: int | None = None
    states: dict[str, str] = field(default_factory=dict)
    watermark_at: int | None = None
    completion: tuple[int, int, int, str] | None = None
    conflicts: int = 0

    def count(self, state: str) -> int:
        return list(self.states.values()).count(state)


class Model:
    def __init__(self) -> None:
        self.jobs: dict[str, JobStatus] = {}
        self.stages: dict[tuple[str, str], ModelStage] = {}
        self.consumed: set[Inbox] = set()

    def stage(self, job_id: str, stage: str, now_ms: int) -> ModelStage:
        key = (job_id, stage)
        if key not in self.stages:
            found = self.stages[key] = ModelStage(POLICIES[stage], closed=self.jobs.get(job_id) is JobStatus.CANCELLED)
            self._refresh(found, now_ms)
        return self.stages[key]

    def announce(self, job_id: str, stage: str, expected: int, now_ms: int) -> None:
        found = self.stage(job_id, stage, now_ms)
        if expected != found.expected:
            if found.completion or (found.expected is not None and expected < found.expected):
                found.conflicts += 1
            else:
                found.expected = expected
                self._refresh(found, now_ms)
        self._evaluate(job_id, found, told_of_failure=False)

    def record(self, job_id: str, stage: str, assets: list[str], state: str, now_ms: int) -> None:
        found = self.stage(job_id, stage, now_ms)
        for asset_id in assets:
            if found.states.get(asset_id) not in ("done", state):
                found.states[asset_id] = state
                self._refresh(found, now_ms)
        self._evaluate(job_id, found, told_of_failure=state == "failed")

    def expire(self, job_id: str, stage: str, now_ms: int) -> None:
        found = self.stage(job_id, stage, now_ms)
        self._evaluate(job_id, found, told_of_failure=False, now_ms=now_ms)

    def cancel(self, job_id: str) -> None:
        self.jobs[job_id] = JobStatus.CANCELLED
        for (owner, _), stage in self.stages.items():
            stage.closed |= owner == job_id and not stage.completion

    def _refresh(self, stage: ModelStage, now_ms: int) -> None:
        ttl_seconds = stage.policy.watermark_ttl_seconds
        stage.watermark_at = None if ttl_seconds is None else now_ms + int(ttl_seconds * 1000)

    def _evaluate(self, job_id: str, stage: ModelStage, *, told_of_failure: bool, now_ms: int | None = None) -> None:
        if stage.completion or stage.closed:
            return
        done, failed, expected = stage.count("done"), stage.count("failed"), stage.expected
        expired = now_ms is not None and stage.watermark_at is not None and now_ms >= stage.watermark_at
        settled = expected is not None and done + failed >= expected
        if expected is not None and done >= expected:
            reason = "all"
        elif not stage.policy.allow_partial:
            if (settled and told_of_failure) or (expired and not settled) or (settled and self._just_settled(stage)):
                stage.watermark_at = None
                if self.jobs.get(job_id) in (JobStatus.PENDING, JobStatus.RUNNING):
                    self.jobs[job_id] = JobStatus.FAILED
            return
        elif settled:
            reason = "settled"
        elif expected is not None and Decimal(done * 100) >= expected * stage.policy.threshold_percentage:
            reason = "threshold"
        elif expired:
            reason = "watermark"
        else:
            return
        stage.completion = (done + failed if expected is None else expected, done, failed, reason)

    @staticmethod
    def _just_settled(stage: ModelStage) -> bool:
        """Short, and with a watermark: there was news since it was last found short."""
        return stage.watermark_at is not None


class LedgerStory(RuleBasedStateMachine):
    url_of: Any = None

    @initialize()
    def begin(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.store = Store(type(self).url_of(Path(self._folder.name)), self.clock)
        self.ledger = self.store.open()
        self.model = Model()
        self.returned: list[tuple[str, str]] = []

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self._folder.cleanup()

    def commit(self, work: Work) -> bool:
        """False when the model must not hear of it, because it was consumed before."""
        self.returned += [(completion.job_id, completion.stage) for completion in self.ledger.commit(work)]
        is_news = work.inbox is None or work.inbox not in self.model.consumed
        if work.inbox is not None:
            self.model.consumed.add(work.inbox)
        return is_news

    @rule(job_id=JOB)
    def submit(self, job_id: str) -> None:
        if job_id not in self.model.jobs:
            self.commit(Work(new_job=new_job(job_id)))
            self.model.jobs[job_id] = JobStatus.PENDING

    @rule(job_id=JOB, stage=STAGE, expected=st.integers(0, 6), inbox=INBOX)
    def announce(self, job_id: str, stage: str, expected: int, inbox: Inbox | None) -> None:
        if self.commit(Work(stages=[STAGES.announcement(job_id, stage, expected)], inbox=inbox)):
            self.model.announce(job_id, stage, expected, self.clock.now_ms)

    @rule(job_id=JOB, stage=STAGE, assets=ASSETS, state=st.sampled_from(["done", "failed"]), inbox=INBOX)
    def record(self, job_id: str, stage: str, assets: list[str], state: str, inbox: Inbox | None) -> None:
        outcomes = [AssetOutcome(asset_id, AssetState(state)) for asset_id in assets]
        if self.commit(Work(stages=[STAGES.outcomes(job_id, stage, outcomes)], inbox=inbox)):
            self.model.record(job_id, stage, assets, state, self.clock.now_ms)

    @rule(job_id=JOB, stage=STAGE)
    def expire(self, job_id: str, stage: str) -> None:
        if (job_id, stage) in self.model.stages:
            self.commit(Work(stages=[STAGES.expiry(job_id, stage)]))
            self.model.expire(job_id, stage, self.clock.now_ms)

    @rule(job_id=JOB, to=st.sampled_from([JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.CANCELLED]))
    def move(self, job_id: str, to: JobStatus) -> None:
        at = self.model.jobs.get(job_id)
        if at is None or at is to:
            return
        if to not in ALLOWED_TRANSITIONS[at]:
            with pytest.raises(JobTransitionRefused):
                self.ledger.commit(moved(to, job_id=job_id, allowed=ANY_STATUS))
            return
        self.commit(moved(to, job_id=job_id, allowed=ANY_STATUS))
        self.model.jobs[job_id] = to
        if to is JobStatus.CANCELLED:
            self.model.cancel(job_id)

    @rule(milliseconds=st.sampled_from([1, 9_999, 10_000]))
    def wait(self, milliseconds: int) -> None:
        self.clock.advance_ms(milliseconds)

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = self.store.open()

    @invariant()
    def tells_the_same(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for job_id in JOBS:
            found = {stage.stage: stage for stage in self.ledger.stage_status(job_id)}
            expected = {name: stage for (owner, name), stage in self.model.stages.items() if owner == job_id}
            assert found.keys() == expected.keys()
            for name, stage in expected.items():
                now = found[name]
                assert (now.expected, now.done, now.failed) == (
                    stage.expected,
                    stage.count("done"),
                    stage.count("failed"),
                )
                assert (now.closed_at is not None) == stage.closed
                if not stage.completion and not stage.closed:
                    assert now.watermark_at == stage.watermark_at
                fired = now.completion and (
                    now.completion.total_assets,
                    now.completion.processed_assets,
                    now.completion.failed_assets,
                    now.completion.reason,
                )
                assert fired == stage.completion
                states = {asset.asset_id: asset.state.value for asset in self.ledger.assets(job_id, name)}
                assert states == stage.states
            assert len(self.ledger.conflicts(job_id)) == min(sum(stage.conflicts for stage in expected.values()), 100)
            if job_id in self.model.jobs:
                assert self.ledger.job(job_id).status is self.model.jobs[job_id]
            sent = [row.event_id for row in self.ledger.outbox(job_id) if row.topic.endswith(".completed")]
            assert len(sent) == len(set(sent)) == sum(stage.completion is not None for stage in expected.values())
        completed = [key for key, stage in self.model.stages.items() if stage.completion]
        assert sorted(self.returned) == sorted(completed)


@pytest.mark.parametrize("name", sorted(STORES))
def test_any_story(name: str) -> None:
    story = type("Story", (LedgerStory,), {"url_of": staticmethod(STORES[name])})
    run_state_machine_as_test(story, settings=settings(max_examples=50, stateful_step_count=30, deadline=None))
