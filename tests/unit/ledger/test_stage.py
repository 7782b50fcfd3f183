"""What news does to a stage: the pure transition, without any store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelwork.events import VideoSubmitted, completion_event_id
from reelwork.ledger.records import AssetState, Completion, Known
from reelwork.ledger.rules import CompletionPolicy
from reelwork.ledger.stage import AssetRow, Stage, StageChange, apply_update, missing_assets_message
from reelwork.ledger.work import AssetOutcome, StageUpdate

ALL_OF_THEM = CompletionPolicy(Decimal(100), 900)
NEEDS_ALL = CompletionPolicy(Decimal(100), 900, allow_partial=False)
DONE, FAILED, STARTED = AssetState.DONE, AssetState.FAILED, AssetState.STARTED


@dataclass
class Run:
    """A stage, and the news it gets one after another."""

    policy: CompletionPolicy = ALL_OF_THEM
    now_ms: int = 1_000
    stage: Stage = field(default_factory=lambda: Stage("job", "frames", created_at=1_000))
    known: dict[str, Known] = field(default_factory=dict)
    rows: dict[str, AssetRow] = field(default_factory=dict)
    completions: list[Completion] = field(default_factory=list)

    def tell(self, **news: Any) -> StageChange:
        update = StageUpdate(job_id="job", stage="frames", topic="frames.completed", policy=self.policy, **news)
        change = apply_update(self.stage, update, known=self.known, rows=self.rows, now_ms=self.now_ms)
        if change.completion is not None:
            self.completions.append(change.completion)
        return change

    def done(self, *asset_ids: str, **fields: Any) -> StageChange:
        return self.tell(outcomes=[AssetOutcome(asset_id, **fields) for asset_id in asset_ids])

    def failed(self, *asset_ids: str, error: str | None = None) -> StageChange:
        return self.tell(outcomes=[AssetOutcome(asset_id, FAILED, error=error) for asset_id in asset_ids])

    def announce(self, expected: int) -> StageChange:
        return self.tell(expected=expected)


class TestSettling:
    def test_is_told_once_of_a_stage_that_had_completed_before(self) -> None:
        run = Run(CompletionPolicy(Decimal(50), 900))
        run.announce(4)
        told = [run.done("a"), run.done("b"), run.done("b", "c"), run.failed("d"), run.done("d"), run.done("e")]
        assert [change.has_settled for change in told] == [False, False, False, True, False, False]
        assert [completion.processed_assets for completion in run.completions] == [2]

    def test_is_nothing_new_of_a_stage_that_completes_with_it(self) -> None:
        run = Run()
        run.announce(2)
        assert [run.done("a").has_settled, run.failed("b").has_settled] == [False, False]
        assert len(run.completions) == 1


class TestAnnouncements:
    @pytest.mark.parametrize("order", list(permutations(["announce", "done a", "done b"])))
    def test_in_any_order_among_the_assets(self, order: Iterable[str]) -> None:
        run = Run()
        for step in order:
            assert run.completions == []
            if step == "announce":
                run.announce(2)
            else:
                run.done(step.removeprefix("done "))
        (completion,) = run.completions
        assert completion.payload() == {
            "job_id": "job",
            "event_id": str(completion_event_id("job", "frames")),
            "total_assets": 2,
            "processed_assets": 2,
            "failed_assets": 0,
            "has_partial_completion": False,
            "watermark_ttl": 900,
            "reason": "all",
        }

    def test_zero_completes_at_once(self) -> None:
        run = Run()
        completion = run.announce(0).completion
        assert completion is not None
        assert (completion.total_assets, completion.reason, completion.has_partial_completion) == (0, "all", False)
        assert run.stage.progress == 1.0

    def test_an_equal_one_is_no_news(self) -> None:
        run = Run()
        run.announce(3)
        run.now_ms += 500
        change = run.announce(3)
        assert (change.conflict, run.stage.watermark_at) == (None, 901_000)

    def test_growing_is_allowed_and_is_news(self) -> None:
        run = Run()
        run.announce(1)
        run.now_ms += 500
        change = run.announce(2)
        assert (change.conflict, run.stage.expected, run.stage.watermark_at) == (None, 2, 901_500)

    def test_shrinking_is_a_conflict_without_effect(self) -> None:
        run = Run()
        run.announce(2)
        run.done("a")
        run.now_ms += 500
        change = run.announce(1)
        assert change.conflict is not None
        assert (change.conflict.expected, change.conflict.announced, change.conflict.recorded_at) == (2, 1, 1_500)
        assert (run.stage.expected, run.stage.watermark_at, run.completions) == (2, 901_000, [])

    @pytest.mark.parametrize("late", [0, 1, 3])
    def test_any_change_after_completion_is_a_conflict(self, late: int) -> None:
        run = Run()
        run.announce(2)
        run.done("a", "b")
        assert run.announce(late).conflict is not None
        assert (run.stage.expected, len(run.completions)) == (2, 1)

    def test_the_same_after_completion_is_none(self) -> None:
        run = Run()
        run.announce(0)
        assert run.announce(0).conflict is None
        assert len(run.completions) == 1

    def test_the_first_one_after_the_watermark_fired_is_a_conflict(self) -> None:
        run = Run(policy=CompletionPolicy(Decimal(100), 1))
        run.done("a")
        run.now_ms += 1_000
        assert run.tell(expire=True).completion is not None
        change = run.announce(1)
        assert change.conflict is not None
        assert (change.conflict.expected, run.stage.expected) == (None, None)


class TestOutcomes:
    def test_told_twice_counts_once(self) -> None:
        run = Run()
        run.announce(3)
        run.done("a", "a", weight=5)
        run.now_ms += 500
        run.done("a", weight=7)
        assert (run.stage.done, run.stage.done_weight, run.stage.watermark_at) == (1, 5, 901_000)

    def test_failed_then_done_moves(self) -> None:
        run = Run()
        run.announce(3)
        run.failed("a", error="unreadable")
        run.done("a", weight=4)
        assert (run.stage.done, run.stage.failed, run.stage.done_weight) == (1, 0, 4)
        assert run.rows["a"].state is DONE

    def test_done_never_moves_back(self) -> None:
        run = Run()
        run.announce(3)
        run.done("a")
        run.failed("a")
        assert (run.stage.done, run.stage.failed, run.rows["a"].state) == (1, 0, DONE)

    def test_both_in_one_update(self) -> None:
        run = Run()
        run.announce(3)
        run.tell(
            outcomes=[
                AssetOutcome("a", FAILED),
                AssetOutcome("a", DONE),
                AssetOutcome("b", DONE),
                AssetOutcome("b", FAILED),
            ]
        )
        assert (run.stage.done, run.stage.failed) == (2, 0)

    def test_events_go_out_only_with_the_outcome_that_made_it_done(self) -> None:
        run = Run()
        event = VideoSubmitted(job_id="job")
        assert run.tell(outcomes=[AssetOutcome("a", FAILED, events=[event])]).events == []
        assert run.tell(outcomes=[AssetOutcome("a", DONE, events=[event])]).events == [event]
        assert run.tell(outcomes=[AssetOutcome("a", DONE, events=[event])]).events == []

    def test_a_late_one_is_counted_and_its_event_goes_out_but_the_completion_does_not_repeat(self) -> None:
        run = Run(policy=CompletionPolicy(Decimal(50), 900))
        run.announce(2)
        completion = run.done("a").completion
        assert completion is not None
        assert (completion.reason, completion.processed_assets, completion.has_partial_completion) == (
            "threshold",
            1,
            True,
        )
        event = VideoSubmitted(job_id="job")
        late = run.tell(outcomes=[AssetOutcome("b", events=[event])])
        assert (late.completion, late.events) == (None, [event])
        assert (run.stage.done, run.stage.late, run.rows["b"].late, run.rows["a"].late) == (2, 1, True, False)

    def test_one_that_failed_in_time_and_succeeds_late_is_late(self) -> None:
        """The counter `late` says how many rows are late, and a merge of what was done in time must not change."""
        run = Run()
        run.announce(2)
        run.done("a")
        assert run.failed("b").completion is not None
        run.done("b")
        assert (run.stage.done, run.stage.failed) == (2, 0)
        assert (run.rows["b"].late, run.stage.late) == (True, 1)

    def test_one_that_failed_late_and_succeeds_later_is_late_once(self) -> None:
        run = Run(policy=CompletionPolicy(Decimal(50), 900))
        run.announce(2)
        run.done("a")
        run.failed("b")
        run.done("b")
        assert (run.stage.late, run.stage.done, run.stage.failed) == (1, 2, 0)

    def test_all_failed_is_settled_with_nothing(self) -> None:
        run = Run()
        run.announce(2)
        completion = run.failed("a", "b").completion
        assert completion is not None
        assert (completion.reason, completion.processed_assets, completion.failed_assets) == ("settled", 0, 2)
        assert completion.has_partial_completion

    def test_the_completion_is_a_frozen_snapshot(self) -> None:
        run = Run(policy=CompletionPolicy(Decimal(50), 900))
        run.announce(2)
        completion = run.done("a").completion
        assert completion is not None
        before = completion.payload()
        run.done("b")
        assert completion.payload() == before

    def test_a_closed_stage_counts_but_never_fires(self) -> None:
        run = Run()
        run.announce(1)
        run.stage.closed_at = 1_000
        assert run.done("a").completion is None
        assert run.tell(expire=True).completion is None
        assert run.stage.done == 1


class TestStartedMarks:
    def test_each_counts_an_attempt_and_keeps_the_asset_open(self) -> None:
        run = Run()
        run.tell(started=["a", "b"])
        run.tell(started=["a"])
        assert run.known == {"a": Known(STARTED, 2), "b": Known(STARTED, 1)}
        assert (run.stage.done, run.stage.failed) == (0, 0)

    def test_the_outcome_keeps_the_attempts(self) -> None:
        run = Run()
        run.tell(started=["a"])
        run.done("a")
        assert (run.rows["a"].attempts, run.rows["a"].state) == (1, DONE)

    def test_a_failed_asset_can_be_tried_again_and_stays_failed_until_then(self) -> None:
        run = Run()
        run.failed("a")
        run.tell(started=["a"])
        assert run.known["a"] == Known(FAILED, 1)
        assert (run.rows["a"].state, run.rows["a"].attempts, run.stage.failed) == (FAILED, 1, 1)

    def test_a_done_asset_is_not_tried_again(self) -> None:
        run = Run()
        run.done("a")
        run.tell(started=["a"])
        assert run.known["a"] == Known(DONE, 0)

    def test_they_are_no_news(self) -> None:
        run = Run()
        run.announce(1)
        run.now_ms += 500
        run.tell(started=["a"])
        assert run.stage.watermark_at == 901_000

    def test_a_stage_first_heard_of_by_them_has_a_watermark(self) -> None:
        run = Run()
        run.tell(started=["a"])
        assert run.stage.watermark_at == 901_000


class TestWatermark:
    @pytest.mark.parametrize(("after_ms", "fires"), [(899_999, False), (900_000, True), (900_001, True)])
    def test_fires_from_its_millisecond_on_and_only_when_asked(self, after_ms: int, fires: bool) -> None:
        run = Run()
        run.announce(2)
        run.done("a")
        run.now_ms += after_ms
        assert run.tell(started=["b"]).completion is None
        completion = run.tell(expire=True).completion
        assert (completion is not None) is fires
        if completion is not None:
            assert (completion.reason, completion.total_assets, completion.processed_assets) == ("watermark", 2, 1)

    def test_completes_a_stage_that_was_never_announced(self) -> None:
        run = Run()
        run.done("a", "b")
        run.failed("c")
        run.now_ms += 900_000
        completion = run.tell(expire=True).completion
        assert completion is not None
        assert (completion.total_assets, completion.processed_assets, completion.failed_assets) == (3, 2, 1)
        assert completion.has_partial_completion

    def test_moves_with_every_new_asset(self) -> None:
        run = Run()
        run.announce(3)
        run.now_ms += 700
        run.done("a")
        assert run.stage.watermark_at == 901_700

    def test_never_without_a_ttl(self) -> None:
        run = Run(policy=CompletionPolicy(Decimal(100), None))
        run.announce(2)
        run.now_ms += 10**12
        assert run.stage.watermark_at is None
        assert run.tell(expire=True).completion is None

    def test_postponing_moves_it_forward_but_not_beyond_the_limit(self) -> None:
        run = Run()
        run.announce(2)
        run.now_ms += 600_000
        run.tell(postpone=True, postpone_max_ms=86_400_000)
        assert run.stage.watermark_at == 1_501_000
        run.now_ms += 600_000
        run.tell(postpone=True, postpone_max_ms=2_000_000)
        assert run.stage.watermark_at == 2_001_000
        run.now_ms += 600_000
        run.tell(postpone=True, postpone_max_ms=2_000_000)
        assert run.stage.watermark_at == 2_001_000

    def test_postponing_never_moves_it_back(self) -> None:
        run = Run()
        run.announce(2)
        run.tell(postpone=True, postpone_max_ms=10)
        assert run.stage.watermark_at == 901_000

    def test_a_postponed_watermark_does_not_fire(self) -> None:
        run = Run()
        run.announce(2)
        run.now_ms += 900_000
        run.tell(postpone=True, postpone_max_ms=86_400_000)
        assert run.tell(expire=True).completion is None

    def test_a_changed_threshold_takes_effect_at_the_next_look(self) -> None:
        run = Run()
        run.announce(4)
        run.done("a", "b")
        assert run.tell(expire=True).completion is None
        run.policy = CompletionPolicy(Decimal(50), 900)
        completion = run.tell(expire=True).completion
        assert completion is not None
        assert completion.reason == "threshold"


class TestNeedsAll:
    """`allow_partial=False`: only rule `all` fires; where another would, the stage falls short."""

    def test_the_threshold_means_nothing(self) -> None:
        run = Run(policy=CompletionPolicy(Decimal(0), 900, allow_partial=False))
        change = run.announce(2)
        assert (change.completion, change.fell_short) == (None, False)

    def test_a_failure_that_settles_it_falls_short_and_a_success_fires(self) -> None:
        run = Run(policy=NEEDS_ALL)
        run.announce(2)
        run.done("a")
        change = run.failed("b")
        assert (change.fell_short, change.completion, run.stage.is_open) == (True, None, True)
        completion = run.done("b").completion
        assert completion is not None
        assert (completion.reason, completion.has_partial_completion) == ("all", False)

    def test_a_failure_with_others_still_to_come_does_not(self) -> None:
        run = Run(policy=NEEDS_ALL)
        run.announce(3)
        assert run.failed("a").fell_short is False

    def test_a_passed_watermark_falls_short_once(self) -> None:
        run = Run(policy=NEEDS_ALL)
        run.announce(2)
        run.done("a")
        run.now_ms += 900_000
        assert run.tell(expire=True).fell_short is True
        assert run.tell(expire=True).fell_short is False

    def test_it_falls_short_again_when_the_replay_fails_again(self) -> None:
        run = Run(policy=NEEDS_ALL)
        run.announce(1)
        assert run.failed("a").fell_short is True
        assert run.tell(started=["a"]).fell_short is False
        assert run.failed("a").fell_short is True

    def test_the_message_names_what_is_missing(self) -> None:
        stage = Stage("job", "segments", created_at=0, expected=9, done=3, failed=4)
        message = missing_assets_message(stage, {"000001": "no keyframe", "000002": None}, named_max=20)
        assert message == (
            "stage segments needs all its assets; missing: 000001 (no keyframe), 000002, 2 more that failed, "
            "2 that never arrived"
        )

    def test_the_message_of_a_stage_that_was_never_announced(self) -> None:
        stage = Stage("job", "segments", created_at=0, done=3)
        assert "never announced" in missing_assets_message(stage, {}, named_max=20)


ASSETS = st.sampled_from("abcdef")
NEWS = st.one_of(
    st.tuples(st.just("announce"), st.integers(0, 7)),
    st.tuples(st.just("done"), st.lists(ASSETS, max_size=3)),
    st.tuples(st.just("failed"), st.lists(ASSETS, max_size=3)),
    st.tuples(st.just("started"), st.lists(ASSETS, max_size=2, unique=True)),
    st.tuples(st.just("wait"), st.integers(0, 1_500)),
    st.tuples(st.just("expire"), st.none()),
    st.tuples(st.just("postpone"), st.none()),
)


@given(news=st.lists(NEWS, max_size=25), threshold=st.integers(0, 100), allow_partial=st.booleans())
def test_counters_are_caches_of_the_rows_and_it_fires_at_most_once(
    news: list[tuple[str, Any]], threshold: int, allow_partial: bool
) -> None:
    run = Run(policy=CompletionPolicy(Decimal(threshold), 1, allow_partial))
    progress = 0.0
    for kind, value in news:
        if kind == "announce":
            run.announce(value)
        elif kind in ("done", "failed"):
            run.tell(outcomes=[AssetOutcome(asset_id, AssetState(kind), weight=2) for asset_id in value])
        elif kind == "started":
            run.tell(started=value)
        elif kind == "wait":
            run.now_ms += value
        else:
            run.tell(**{kind: True})
        stage, states = run.stage, [row.state for row in run.rows.values()]
        assert stage.done == states.count(DONE)
        assert stage.failed == states.count(FAILED)
        assert stage.done_weight == 2 * stage.done
        assert stage.late == sum(row.late for row in run.rows.values())
        assert {asset_id: known.state for asset_id, known in run.known.items()} == {
            asset_id: row.state for asset_id, row in run.rows.items()
        }
        assert progress <= stage.progress <= 1.0
        progress = stage.progress
        assert len(run.completions) <= 1
        assert bool(run.completions) == (stage.completed_at is not None)
        due_now = stage.expected is not None and (
            stage.done >= stage.expected
            or (allow_partial and stage.done + stage.failed >= stage.expected)
            or (allow_partial and stage.done * 100 >= stage.expected * threshold)
        )
        assert not (due_now and not run.completions), "due and not fired"
    if run.completions and not allow_partial:
        assert run.completions[0].reason == "all"
