"""Announcements, outcomes and watermarks as a caller sees them, through any store."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from reelwork.events import MatchRequestCompleted, ProductsImagesMaskedBatch, completion_event_id, parse_event
from reelwork.ledger import AssetOutcome, AssetState, CompletionPolicy, JobProgressManager, Ledger, StageRule, Work
from reelwork.ledger.records import Known
from tests.clock import ManualClock
from tests.conformance.ledger.stores import (
    EVERYTHING,
    HALF,
    STAGES,
    Store,
    announced,
    done,
    expiry,
    failed,
    manager,
    started,
    status,
    topics,
)


class TestCompletion:
    def test_comes_back_to_the_caller_whose_news_fired_it_and_lies_in_the_outbox(self, ledger: Ledger) -> None:
        assert ledger.commit(announced("frames", 2)) == []
        assert ledger.commit(done("frames", "a")) == []
        (completion,) = ledger.commit(done("frames", "b"))
        (event,) = ledger.outbox("job")
        assert (event.topic, event.event_id) == ("frames.completed", str(completion_event_id("job", "frames")))
        assert json.loads(event.body) == completion.payload()
        assert status(ledger, "frames").completion == completion

    def test_zero_assets(self, ledger: Ledger) -> None:
        (completion,) = ledger.commit(announced("frames", 0))
        assert (completion.total_assets, completion.reason, completion.has_partial_completion) == (0, "all", False)
        assert status(ledger, "frames").progress == 1.0

    def test_threshold_at_18_of_20(self, ledger: Ledger) -> None:
        counting = manager(ledger, CompletionPolicy(Decimal(90), 900))
        counting.update_expected_and_recheck_completion("job", "frames", 20)
        fired = [counting.update_job_progress("job", "frames", done=[f"{number:02}"]) for number in range(20)]
        assert [completion is not None for completion in fired] == [False] * 17 + [True] + [False] * 2
        (kept,) = [completion for completion in fired if completion]
        assert (kept.processed_assets, kept.total_assets, kept.reason) == (18, 20, "threshold")
        now = status(ledger, "frames")
        assert (now.done, now.late, now.completion) == (20, 2, kept)

    def test_announced_last(self, ledger: Ledger) -> None:
        ledger.commit(done("frames", "a", "b"))
        (completion,) = ledger.commit(announced("frames", 2))
        assert completion.processed_assets == 2

    def test_all_at_once_in_one_work(self, ledger: Ledger) -> None:
        work = Work(
            stages=[*announced("frames", 2).stages, *done("frames", "a", "b").stages, *announced("masks", 0).stages]
        )
        assert [completion.stage for completion in ledger.commit(work)] == ["frames", "masks"]
        assert topics(ledger) == ["frames.completed", "masks.completed"]

    def test_told_again_changes_nothing(self, ledger: Ledger) -> None:
        ledger.commit(announced("frames", 2))
        ledger.commit(done("frames", "a", "b"))
        before = ledger.stage_status("job")
        assert ledger.commit(done("frames", "a", "b")) == []
        assert ledger.commit(failed("frames", "a")) == []
        assert ledger.commit(announced("frames", 2)) == []
        assert (ledger.stage_status("job"), len(ledger.outbox("job"))) == (before, 1)

    def test_stages_of_one_name_in_two_jobs_do_not_mix(self, ledger: Ledger) -> None:
        ledger.commit(announced("frames", 1))
        ledger.commit(announced("frames", 1, job_id="other"))
        (completion,) = ledger.commit(done("frames", "a", job_id="other"))
        assert completion.job_id == "other"
        assert status(ledger, "frames").completion is None

    def test_a_stage_has_its_own_policy_and_event(self, ledger: Ledger) -> None:
        stages = {"image.masks": StageRule(policy=HALF, completes_with="products.images.masked.batch")}
        counting = JobProgressManager(ledger, policy=EVERYTHING, stages=stages, clock=ledger.clock)
        counting.update_expected_and_recheck_completion("job", "image.masks", 2)
        completion = counting.update_job_progress("job", "image.masks", done=["a"])
        assert completion is not None
        assert completion.topic == "products.images.masked.batch"
        assert topics(ledger) == ["products.images.masked.batch"]

    @pytest.mark.parametrize(
        ("told", "reason", "total"),
        [
            pytest.param({"done": "abcde", "failed": "x"}, "threshold", 9, id="the rest is still worked on"),
            pytest.param({"done": "ab", "failed": "stuvwxyz"}, "settled", 2, id="nothing more will come"),
            pytest.param({"done": "abcdefghij"}, "all", 10, id="all of them"),
        ],
    )
    def test_a_completion_can_announce_what_comes_out_of_the_stage(
        self, ledger: Ledger, told: dict[str, str], reason: str, total: int
    ) -> None:
        stages = {"image.masks": StageRule(policy=HALF, completes_with=ProductsImagesMaskedBatch)}
        counting = JobProgressManager(ledger, policy=EVERYTHING, stages=stages, clock=ledger.clock)
        counting.update_expected_and_recheck_completion("job", "image.masks", 10)
        completion = counting.update_job_progress("job", "image.masks", **told)
        assert completion is not None
        assert completion.reason == reason
        (event,) = ledger.outbox("job")
        announced_event = parse_event(event.topic, event.body)
        assert announced_event == ProductsImagesMaskedBatch(
            job_id="job", event_id=completion_event_id("job", "image.masks"), total_images=total
        )

    def test_a_completion_can_tell_the_weight_of_what_was_done(self, ledger: Ledger) -> None:
        rule = StageRule(policy=EVERYTHING, completes_with=MatchRequestCompleted)
        stages = JobProgressManager(ledger, stages={"match.request": rule})
        ledger.commit(Work(stages=[stages.announcement("job", "match.request", 3)]))
        outcomes = [
            AssetOutcome("a", weight=4),
            AssetOutcome("b", weight=0),
            AssetOutcome("c", AssetState.FAILED, weight=7),
        ]
        (completion,) = ledger.commit(Work(stages=[stages.outcomes("job", "match.request", outcomes)]))
        (event,) = ledger.outbox("job")
        assert json.loads(event.body) == {**completion.payload(), "total_matches": 4}
        assert status(ledger, "match.request").completion == completion

    @pytest.mark.parametrize("asset_id", ["größe/日本", "it's", 'a"b', "[1]", "1", "a\\b", " ", "😀"])
    def test_an_outsiders_id_counts_once(self, ledger: Ledger, asset_id: str) -> None:
        ledger.commit(announced("frames", 9))
        for _ in range(2):
            ledger.commit(done("frames", asset_id))
        assert status(ledger, "frames").done == 1
        assert [asset.asset_id for asset in ledger.assets("job", "frames")] == [asset_id]


class TestAssets:
    def test_keep_weight_result_and_error(self, ledger: Ledger, clock: ManualClock) -> None:
        outcomes = [
            AssetOutcome("a", weight=25, result={"key": "x/1", "mean": 0.5}),
            AssetOutcome("b", AssetState.FAILED, weight=3, error="no keyframe"),
        ]
        ledger.commit(Work(stages=[STAGES.outcomes("job", "frames", outcomes)]))
        first, second = ledger.assets("job", "frames")
        assert (first.weight, first.result, first.error, first.recorded_at) == (
            25,
            {"key": "x/1", "mean": 0.5},
            None,
            clock.now_ms,
        )
        assert (second.state, second.weight, second.result, second.error) == (AssetState.FAILED, 3, None, "no keyframe")
        assert status(ledger, "frames").done_weight == 25

    def test_an_error_that_is_no_text_is_kept_as_far_as_it_is(self, ledger: Ledger) -> None:
        """Names of files may hold any bytes; Python hands them on as lone surrogates."""
        ledger.commit(failed("frames", "a", error="cannot open \udcff.mp4\0"))
        (asset,) = ledger.assets("job", "frames")
        assert asset.error == "cannot open ?.mp4?"

    def test_those_of_a_part_are_read_alone(self, ledger: Ledger) -> None:
        ledger.commit(done("frames", "clip/1", "clip/2", "clip2/1", "Clip/1", "c%/1", "clip"))
        for prefix, expected in {"clip/": ["clip/1", "clip/2"], "c%": ["c%/1"], "none": []}.items():
            assert [asset.asset_id for asset in ledger.assets("job", "frames", prefix=prefix)] == expected

    def test_are_read_in_order_over_pages(self, store: Store, ledger: Ledger) -> None:
        ids = [f"{number:05}" for number in range(store.many(2_345))]
        ledger.commit(done("frames", *reversed(ids)))
        assert [asset.asset_id for asset in ledger.assets("job", "frames")] == ids

    def test_by_state_and_without_the_late(self, ledger: Ledger) -> None:
        ledger.commit(announced("halves", 4))
        ledger.commit(failed("halves", "c"))
        ledger.commit(done("halves", "a", "b"))
        ledger.commit(done("halves", "c", "d"))
        states = [AssetState.DONE]
        assert [asset.asset_id for asset in ledger.assets("job", "halves", states=states)] == ["a", "b", "c", "d"]
        in_time = ledger.assets("job", "halves", states=states, include_late=False)
        assert [asset.asset_id for asset in in_time] == ["a", "b"]
        assert status(ledger, "halves").late == 2

    def test_started_marks_count_attempts_and_become_outcomes(self, ledger: Ledger) -> None:
        ledger.commit(started("frames", "a", "b"))
        ledger.commit(started("frames", "a"))
        assert ledger.known_assets("job", "frames", ["a", "b", "c"]) == {
            "a": Known(AssetState.STARTED, 2),
            "b": Known(AssetState.STARTED, 1),
        }
        ledger.commit(done("frames", "a"))
        ledger.commit(started("frames", "a"))
        (first, _) = ledger.assets("job", "frames")
        assert (first.state, first.attempts) == (AssetState.DONE, 2)
        assert status(ledger, "frames").done == 1

    def test_a_mark_and_its_outcome_in_one_group(self, ledger: Ledger) -> None:
        ledger.commit_all([started("frames", "a"), done("frames", "a"), started("frames", "a")])
        assert ledger.known_assets("job", "frames", ["a"]) == {"a": Known(AssetState.DONE, 1)}

    def test_a_hundred_thousand_in_one_work(self, store: Store, ledger: Ledger) -> None:
        many = store.many(100_000)
        ledger.commit(announced("frames", many))
        (completion,) = ledger.commit(done("frames", *(f"{number:06}" for number in range(many))))
        assert completion.processed_assets == many


class TestAnnouncements:
    def test_growing(self, ledger: Ledger) -> None:
        ledger.commit(announced("frames", 1))
        ledger.commit(announced("frames", 2))
        assert ledger.commit(done("frames", "a")) == []
        assert len(ledger.commit(done("frames", "b"))) == 1

    def test_shrinking_and_late_ones_are_kept_as_conflicts(self, ledger: Ledger) -> None:
        ledger.commit(announced("frames", 2))
        ledger.commit(done("frames", "a"))
        assert ledger.commit(announced("frames", 1)) == []
        ledger.commit(done("frames", "b"))
        assert ledger.commit(announced("frames", 3)) == []
        assert [(conflict.expected, conflict.announced) for conflict in ledger.conflicts("job")] == [(2, 1), (2, 3)]
        assert (status(ledger, "frames").expected, topics(ledger)) == (2, ["frames.completed"])

    def test_progress_never_falls(self, ledger: Ledger) -> None:
        ledger.commit(announced("frames", 2))
        ledger.commit(done("frames", "a"))
        ledger.commit(announced("frames", 100))
        assert status(ledger, "frames").progress == 0.5


class TestWatermark:
    @pytest.mark.parametrize(("offset_ms", "fires"), [(-1, False), (0, True), (1, True)])
    def test_around_its_millisecond(self, ledger: Ledger, clock: ManualClock, offset_ms: int, fires: bool) -> None:
        ledger.commit(announced("frames", 2))
        clock.advance(3)
        ledger.commit(done("frames", "a"))
        assert status(ledger, "frames").watermark_at == clock.now_ms + 900_000
        clock.advance_ms(900_000 + offset_ms)
        assert [stage.stage for stage in ledger.due_stages()] == (["frames"] if fires else [])
        assert [fired.reason for fired in manager(ledger).expire_watermarks()] == (["watermark"] if fires else [])

    def test_survives_a_restart(self, store: Store, ledger: Ledger, clock: ManualClock) -> None:
        ledger.commit(done("frames", "a"))
        ledger.close()
        clock.advance(900)
        again = store.open()
        (completion,) = manager(again).expire_watermarks()
        assert (completion.total_assets, completion.has_partial_completion) == (1, True)
        assert manager(again).expire_watermarks() == []
        again.close()

    def test_the_longest_due_comes_first(self, ledger: Ledger, clock: ManualClock) -> None:
        for stage in ("b", "a", "c"):
            ledger.commit(done(stage, "x"))
            clock.advance(1)
        clock.advance(898)
        assert [stage.stage for stage in ledger.due_stages()] == ["b", "a"]
        assert [stage.stage for stage in ledger.due_stages(limit=1)] == ["b"]

    def test_does_not_fire_by_other_news(self, ledger: Ledger, clock: ManualClock) -> None:
        ledger.commit(announced("frames", 3))
        clock.advance(1_000)
        assert ledger.commit(done("frames", "a")) == []
        assert ledger.commit(expiry("frames")) == []

    def test_work_in_hand_postpones_it_up_to_the_limit(self, ledger: Ledger, clock: ManualClock) -> None:
        born = clock.now_ms
        ledger.commit(announced("frames", 2))
        for _ in range(3):
            clock.advance(800)
            ledger.commit(Work(stages=[STAGES.postponement("job", "frames", postpone_max_ms=2_000_000)]))
        assert status(ledger, "frames").watermark_at == born + 2_000_000
        assert len(ledger.commit(expiry("frames"))) == 1

    def test_to_postpone_what_is_not_there_makes_no_stage(self, ledger: Ledger) -> None:
        ledger.commit(Work(stages=[STAGES.postponement("job", "frames", postpone_max_ms=2_000_000)]))
        assert ledger.stage_status("job") == []

    def test_a_lowered_threshold_takes_effect_at_the_next_sweep(self, ledger: Ledger) -> None:
        for number in range(3):
            ledger.commit(announced("frames", 2, job_id=f"job-{number}"))
            ledger.commit(done("frames", "a", job_id=f"job-{number}"))
        assert manager(ledger).expire_watermarks() == []
        fired = manager(ledger, HALF).expire_watermarks()
        assert [(completion.job_id, completion.reason) for completion in fired] == [
            (f"job-{number}", "threshold") for number in range(3)
        ]

    def test_a_sweep_reaches_every_open_stage_over_pages(self, ledger: Ledger, clock: ManualClock) -> None:
        ledger.commit_all([done("frames", "a", job_id=f"job-{number:03}") for number in range(250)])
        clock.advance(900)
        assert len(manager(ledger).expire_watermarks()) == 250
        assert ledger.open_stages() == []


def test_everything_is_there_after_a_restart(store: Store, ledger: Ledger) -> None:
    ledger.commit(announced("frames", 2))
    ledger.commit(done("frames", "a", "b"))
    ledger.commit(announced("frames", 1))
    ledger.commit(started("masks", "a"))
    before = [
        ledger.stage_status("job"),
        [*ledger.assets("job", "frames"), *ledger.assets("job", "masks")],
        ledger.outbox("job"),
        ledger.conflicts("job"),
    ]
    ledger.close()
    again = store.open()
    after = [
        again.stage_status("job"),
        [*again.assets("job", "frames"), *again.assets("job", "masks")],
        again.outbox("job"),
        again.conflicts("job"),
    ]
    again.close()
    assert before == after
