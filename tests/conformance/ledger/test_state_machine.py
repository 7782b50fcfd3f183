"""Hypothesis drives a store through any story it can think of: announcements and outcomes in any order and number,
watermarks, cancelling, replays, crashes, lost answers, clocks set back, two threads at once.

After every step the store must tell what the model tells, and keep its promises.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from reelwork.errors import ReelworkError, StoreUnavailable
from reelwork.ledger import JobProgressManager, Ledger, Work
from reelwork.ledger.commit import Transaction
from tests.conformance.ledger.account import account_of
from tests.conformance.ledger.model import Announced, Letter, LookedAt, Model, News, Recorded, Refused, Step
from tests.conformance.ledger.promises import Promises
from tests.conformance.ledger.stores import STORES, Store, new_job
from tests.conformance.ledger.story import STAGE_RULES, TERMS, told_by, work_of

JOBS = ["job-a", "job-b"]
NAMES = "abcdef"
JOB = st.sampled_from([JOBS[0], JOBS[0], JOBS[0], JOBS[1]])  # most of a story is about one job
STAGE = st.sampled_from(sorted(TERMS))
ASSETS = st.lists(st.sampled_from(NAMES[:5]), max_size=4).map(tuple)
STATE = st.sampled_from(["done", "done", "failed"])
ANNOUNCED = st.builds(Announced, JOB, STAGE, st.integers(0, 6))
RECORDED = st.builds(Recorded, JOB, STAGE, STATE, ASSETS)
NEWS = st.one_of(ANNOUNCED, RECORDED, RECORDED, st.builds(LookedAt, JOB, STAGE))
INBOX = st.none() | st.sampled_from("123")
MOVE = st.tuples(JOB, st.sampled_from(["running", "completed", "failed", "cancelled"]))
LETTER = st.builds(Letter, JOB, st.none() | STAGE)
STEP = st.builds(Step, st.lists(NEWS, max_size=3).map(tuple), INBOX, st.none() | MOVE, st.none() | LETTER)
EXAMPLES = {"dynamodb": 1}  # it takes six seconds there; 40 have been run
QUIET_STEP = st.builds(Step, st.lists(NEWS, min_size=1, max_size=3).map(tuple), INBOX)


class LedgerStory(RuleBasedStateMachine):
    place: Callable[[Path, str], AbstractContextManager[str]]

    @initialize(is_running=st.booleans())
    def begin(self, is_running: bool) -> None:
        self._places = ExitStack()
        folder = self._places.enter_context(tempfile.TemporaryDirectory())
        self.store = Store(self._places.enter_context(type(self).place(Path(folder), "reelwork")))
        self.clock = self.store.clock
        self.ledger = self.store.open()
        self.other: Ledger | None = None
        self.model = Model(TERMS)
        self.promises = Promises(TERMS)
        if is_running:
            self.submit(JOBS[0])
            self.move((JOBS[0], "running"))

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self._close()
            self._places.close()

    @rule(job_id=JOB)
    def submit(self, job_id: str) -> None:
        try:
            self.model.submit(job_id)
        except Refused:
            with pytest.raises(ReelworkError):
                self.ledger.commit(Work(new_job=new_job(job_id)))
        else:
            self.ledger.commit(Work(new_job=new_job(job_id)))

    @rule(news=ANNOUNCED, inbox=INBOX)
    def announce(self, news: News, inbox: str | None) -> None:
        """Early, late, again, larger or smaller."""
        self._commit(Step((news,), inbox))

    @rule(news=RECORDED, inbox=INBOX)
    def record(self, news: News, inbox: str | None) -> None:
        self._commit(Step((news,), inbox))

    @rule(number=st.integers(0, 20), state=STATE, in_one_work=st.booleans())
    def record_again(self, number: int, state: str, in_one_work: bool) -> None:
        """An asset that has its outcome: failed then done, done then failed, or the same twice."""
        known = [(key, name) for key, stage in self.model.stages.items() for name in sorted(stage.done | stage.failed)]
        if known:
            (job_id, stage), name = known[number % len(known)]
            news = Recorded(job_id, stage, state, (name, name))
            self._commit(Step((news, news) if in_one_work else (news,)))

    @rule(number=st.integers(0, 20), state=STATE)
    def settle(self, number: int, state: str) -> None:
        """Every asset that a stage waits for has its outcome: it falls short, or its gap is filled."""
        announced = [key for key, stage in self.model.stages.items() if stage.expected is not None]
        if announced:
            key = announced[number % len(announced)]
            missing = self.model.stages[key].failed | set(NAMES[: self.model.stages[key].expected])
            self._commit(Step((Recorded(*key, state, tuple(sorted(missing))),)))

    @rule(step=STEP)
    def everything_in_one_work(self, step: Step) -> None:
        self._commit(step)

    @rule(move=MOVE)
    def move(self, move: tuple[str, str]) -> None:
        self._commit(Step(move=move))

    @rule(steps=st.lists(STEP, min_size=2, max_size=4))
    def group(self, steps: list[Step]) -> None:
        """Works that commit together leave what they leave one after another."""
        for step, result in zip(steps, self.ledger.commit_all([work_of(step) for step in steps]), strict=True):
            self._compare(step, result)

    @rule(first=QUIET_STEP, second=QUIET_STEP, many_ledgers=st.booleans())
    def two_threads(self, first: Step, second: Step, many_ledgers: bool) -> None:
        """At once, in one process or as two would: the outcome is that of one order or of the other."""
        if self.other is None:
            self.other = self.store.open()
        steps, barrier = [first, second], Barrier(2)

        def commit(ledger: Ledger, step: Step) -> list[tuple[str, str]]:
            barrier.wait()
            return _keys(ledger.commit(work_of(step)))

        with ThreadPoolExecutor(2) as threads:
            ledgers = [self.ledger, self.other if many_ledgers else self.ledger]
            fired = list(threads.map(commit, ledgers, steps))
        for order in ([0, 1], [1, 0]):
            model = self.model.fork()
            by_model = {number: model.apply(steps[number], self.clock.now_ms) for number in order}
            if [by_model[0], by_model[1]] == fired and self._tells_as(model):
                self.model = model
                return
        pytest.fail(f"{steps} fired {fired}; neither order does")

    @rule(letter=LETTER)
    def bury(self, letter: Letter) -> None:
        self._commit(Step(letter=letter))

    @rule(number=st.integers(0, 4), inbox=INBOX)
    def replay(self, number: int, inbox: str | None) -> None:
        """Of a dead letter that is there, was replayed before, or was never written."""
        self._commit(Step(replay=number, inbox=inbox))

    @rule(job_id=JOB, stage=STAGE, offset_ms=st.sampled_from([-1, 0, 1]), sweeps=st.booleans())
    def expire(self, job_id: str, stage: str, offset_ms: int, sweeps: bool) -> None:
        """A millisecond before the watermark, at it, and one after it."""
        found = self.model.stages.get((job_id, stage))
        if found is not None and found.is_open and found.watermark_at is not None:
            self.clock.now_ms = max(self.clock.now_ms, found.watermark_at + offset_ms)
        if sweeps:
            self.sweep()
        else:
            self._commit(Step((LookedAt(job_id, stage),)))

    @rule()
    def sweep(self) -> None:
        counting = JobProgressManager(self.ledger, stages=STAGE_RULES, clock=self.clock)
        assert _keys(counting.expire_watermarks()) == self.model.sweep(self.clock.now_ms)
        for job_id in JOBS:
            self.promises.nothing_waits(account_of(self.ledger, job_id), now_ms=self.clock.now_ms)

    @rule(milliseconds=st.sampled_from([1, 9_999, 10_000, -1, -10_000, -3_600_000]))
    def wait_or_set_the_clock_back(self, milliseconds: int) -> None:
        self.clock.advance_ms(milliseconds)

    @rule()
    def restart(self) -> None:
        self._close()
        self.ledger = self.store.open()

    @rule(step=STEP)
    def crash_before_the_commit(self, step: Step) -> None:
        """Everything is written and nothing committed; whoever comes next finds nothing of it."""
        with _fault(self.ledger, is_committed=False), pytest.raises(ReelworkError):
            self.ledger.commit(work_of(step))
        self.restart()

    @rule(step=STEP, restarts=st.booleans())
    def lose_the_answer(self, step: Step, restarts: bool) -> None:
        """The work is committed, its caller does not hear of it, and commits it once more."""
        try:
            self.model.fork().apply(step, self.clock.now_ms)
        except Refused:
            return
        with _fault(self.ledger, is_committed=True), pytest.raises(StoreUnavailable):
            self.ledger.commit(work_of(step))
        self.model.apply(step, self.clock.now_ms)
        if restarts:
            self.restart()
        self._commit(step)

    @invariant()
    def tells_what_the_model_tells_and_keeps_its_promises(self) -> None:
        if hasattr(self, "ledger"):
            for job_id in JOBS:
                account = account_of(self.ledger, job_id)
                assert told_by(account) == self.model.story(job_id)
                self.promises.check(account)

    def _commit(self, step: Step) -> None:
        letter_ids = [] if step.replay is None else sorted(row.dead_letter_id for row in self.ledger.dead_letters())
        self._compare(step, *self.ledger.commit_all([work_of(step, letter_ids)]))

    def _compare(self, step: Step, result: Any) -> None:
        try:
            expected = self.model.apply(step, self.clock.now_ms)
        except Refused:
            assert isinstance(result, ReelworkError), f"{step} was not refused"
        else:
            assert not isinstance(result, Exception), result
            assert _keys(result) == expected

    def _tells_as(self, model: Model) -> bool:
        return all(told_by(account_of(self.ledger, job_id)) == model.story(job_id) for job_id in JOBS)

    def _close(self) -> None:
        self.ledger.close()
        if self.other is not None:
            self.other.close()
            self.other = None


def _keys(completions: list[Any]) -> list[tuple[str, str]]:
    return [(completion.job_id, completion.stage) for completion in completions]


@contextmanager
def _fault(ledger: Ledger, *, is_committed: bool) -> Iterator[None]:
    """The ledger's next transactions end in an error, before or after they are committed."""
    transact = ledger.transact

    def failing(change: Callable[[Transaction], Any]) -> Any:
        def interrupted(transaction: Transaction) -> Any:
            result = change(transaction)
            if not is_committed:
                raise StoreUnavailable("the process died before the commit")
            return result

        transact(interrupted)
        raise StoreUnavailable("the answer was lost")

    ledger.transact = failing  # type: ignore[method-assign]
    quick_way = getattr(ledger, "_quick_way", None)
    ledger._quick_way = None  # it is one statement: there is no half of it
    try:
        yield
    finally:
        del ledger.transact  # type: ignore[method-assign]
        ledger._quick_way = quick_way


@pytest.mark.parametrize("name", sorted(STORES))
def test_any_story(name: str) -> None:
    story = type("Story", (LedgerStory,), {"place": staticmethod(STORES[name])})
    run_state_machine_as_test(
        story,
        settings=settings(
            max_examples=EXAMPLES.get(name, 40),
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow],
            print_blob=True,
        ),
    )
