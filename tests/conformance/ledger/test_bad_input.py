"""What nobody should ask of the ledger: each has its answer, a typed error or a defined effect, and nothing is lost."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from reelwork.errors import InvalidWork, JobNotFound, ReelworkError
from reelwork.ledger import (
    AssetOutcome,
    AssetState,
    CompletionPolicy,
    Inbox,
    JobStatus,
    Ledger,
    NewDeadLetter,
    NewJob,
    Work,
    progress,
)
from reelwork.ledger.dynamodb.parts import ASSETS_MAX
from reelwork.ledger.work import ASSET_ID_CHARACTERS_MAX, ASSETS_PER_WORK_MAX, COUNT_MAX
from tests.clock import ManualClock
from tests.conformance.ledger.stores import (
    STAGES,
    Store,
    announced,
    dead_letter,
    done,
    failed,
    manager,
    moved,
    new_job,
    running_job,
    status,
    topics,
)

NAN, INFINITE = float("nan"), float("inf")
HUGE = pytest.param(10**5000, id="huge")  # more digits than Python puts into a message
MILLION = 1_000_000
MANY_IN_A_WORK = progress.PROGRESS_ASSETS_PER_WORK_MAX
NO_TEXT = ["a\0b", "\ud800", "a" * (ASSET_ID_CHARACTERS_MAX + 1), ""]


@pytest.fixture
def per_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many assets of one call go into one work."""
    monkeypatch.setattr(progress, "PROGRESS_ASSETS_PER_WORK_MAX", store.many(10 * MANY_IN_A_WORK) // 10)
    return progress.PROGRESS_ASSETS_PER_WORK_MAX


def ids_in_store(ledger: Ledger, stage: str = "frames") -> list[str]:
    return [asset.asset_id for asset in ledger.assets("job", stage)]


class TestTotals:
    @pytest.mark.parametrize(
        "total",
        [
            -1,
            pytest.param(-(10**5000), id="hugely negative"),
            COUNT_MAX + 1,
            2**63,
            HUGE,
            True,
            False,
            1.0,
            0.5,
            NAN,
            INFINITE,
            "3",
            b"3",
        ],
    )
    def test_a_total_that_is_none_is_refused_and_changes_nothing(self, ledger: Ledger, total: Any) -> None:
        ledger.commit(announced("frames", 3))
        ledger.commit(done("frames", "a"))
        before = ledger.stage_status("job")
        with pytest.raises(InvalidWork, match="whole number"):
            manager(ledger).update_expected_and_recheck_completion("job", "frames", total)
        assert ledger.stage_status("job") == before
        ledger.commit(done("frames", "b"))
        assert len(ledger.commit(done("frames", "c"))) == 1

    def test_the_largest_total_and_the_largest_weights_are_counted(self, ledger: Ledger) -> None:
        ledger.commit(announced("frames", COUNT_MAX))
        outcomes = [AssetOutcome(name, weight=COUNT_MAX) for name in "abc"]
        assert ledger.commit(Work(stages=[STAGES.outcomes("job", "frames", outcomes)])) == []
        now = status(ledger, "frames")
        assert (now.expected, now.done, now.done_weight) == (COUNT_MAX, 3, 3 * COUNT_MAX)

    @pytest.mark.parametrize("weight", [-1, COUNT_MAX + 1, HUGE, NAN, 1.5, True, "1"])
    def test_a_weight_that_is_none_is_refused_and_changes_nothing(self, ledger: Ledger, weight: Any) -> None:
        outcomes = [AssetOutcome("a"), AssetOutcome("b", weight=weight)]
        with pytest.raises(InvalidWork, match="weight"):
            ledger.commit(Work(stages=[STAGES.outcomes("job", "frames", outcomes)]))
        assert ledger.stage_status("job") == []


class TestAssetIds:
    @pytest.mark.parametrize(
        "asset_id", ["x" * 10_000, "日" * 5_000, "a\0b", "\0", "\ud800", "a\udfff", "", None, 7, b"a", ("a",)]
    )
    def test_an_id_that_is_none_is_refused_and_its_neighbours_can_come_again(
        self, ledger: Ledger, asset_id: Any
    ) -> None:
        counting = manager(ledger)
        counting.update_expected_and_recheck_completion("job", "frames", 2)
        for news in ({"done": ["a", asset_id]}, {"failed": ["a", asset_id]}):
            with pytest.raises(InvalidWork, match="id"):
                counting.update_job_progress("job", "frames", **news)
        assert ids_in_store(ledger) == []
        completion = counting.update_job_progress("job", "frames", done=["a", "b"])
        assert completion is not None

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("é", "e\u0301"),  # the same text for a reader, after normalisation
            ("ﬁ", "fi"),
            ("\u212b", "\u00c5"),  # ANGSTROM SIGN and LATIN CAPITAL LETTER A WITH RING ABOVE
            ("a", "A"),
            ("ß", "ss"),
            ("i", "İ"),
            ("a", "a "),
            ("a", "\ufeffa"),
            ("אב", "\u202eאב"),  # right to left, and forced to be so
            ("👍", "👍🏽"),
            ("👨‍👩‍👧", "👨👩👧"),
            ("１", "1"),
        ],
    )
    def test_ids_that_look_alike_are_two(self, ledger: Ledger, one: str, other: str) -> None:
        ledger.commit(announced("frames", 2))
        assert ledger.commit(done("frames", one)) == []
        assert ledger.commit(done("frames", one)) == []
        assert len(ledger.commit(done("frames", other))) == 1
        assert sorted(ids_in_store(ledger)) == sorted([one, other])
        assert ledger.known_assets("job", "frames", [one, other]).keys() == {one, other}

    def test_ids_of_every_script_come_in_one_order_over_pages(self, ledger: Ledger) -> None:
        """By code point, in every store alike: a page begins behind the last id of the page before."""
        scripts = ["ä", "z", "Z", "日", "😀", "\u05d0", "e\u0301", "é", "_", "-", "٣", "\U0010ffff", "\uffff"]
        ids = [f"{script}{number}" for script in scripts for number in range(200)]
        ledger.commit(done("frames", *ids))
        assert ids_in_store(ledger) == sorted(ids)

    def test_the_longest_id_of_the_widest_characters(self, ledger: Ledger) -> None:
        longest = "😀" * ASSET_ID_CHARACTERS_MAX
        ledger.commit(done("frames", longest))
        assert ids_in_store(ledger) == [longest]

    @pytest.mark.parametrize("asset_id", NO_TEXT)
    def test_asking_for_an_id_that_is_none_finds_nothing(self, ledger: Ledger, asset_id: str) -> None:
        ledger.commit(done("frames", "a"))
        assert ledger.known_assets("job", "frames", ["a", asset_id]).keys() == {"a"}


class TestManyAtOnce:
    def test_more_than_one_work_holds_are_refused_whole(self, ledger: Ledger) -> None:
        with pytest.raises(InvalidWork, match=f"at most {ASSETS_PER_WORK_MAX}"):
            ledger.commit(done("frames", *(f"{number:07}" for number in range(ASSETS_PER_WORK_MAX + 1))))
        assert ledger.stage_status("job") == []

    def test_a_million_assets_in_one_call(self, store: Store, ledger: Ledger) -> None:
        """From a generator; the completion comes back once."""
        counting, many = manager(ledger), store.many(MILLION)
        counting.update_expected_and_recheck_completion("job", "frames", many)
        completion = counting.update_job_progress("job", "frames", done=_numbered(many))
        assert completion is not None
        assert (completion.total_assets, completion.processed_assets, completion.reason) == (many, many, "all")
        now = status(ledger, "frames")
        assert (now.done, now.late, topics(ledger)) == (many, 0, ["frames.completed"])

    def test_memory_does_not_grow_with_the_number_of_assets(self, ledger: Ledger, per_work: int) -> None:
        manager(ledger).update_job_progress("job", "warm", done=_numbered(per_work))
        peaks_bytes = []
        for works in (2, 8):
            tracemalloc.start()
            try:
                manager(ledger).update_job_progress("job", f"frames-{works}", done=_numbered(works * per_work))
                peaks_bytes.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
        assert peaks_bytes[1] < 1.5 * peaks_bytes[0]

    def test_a_threshold_passed_in_the_middle_of_a_call(self, store: Store, ledger: Ledger, per_work: int) -> None:
        """A store that cuts a large work completes the stage by the part that passes the threshold."""
        many = 3 * per_work
        fires_at = -(-many // 2 // ASSETS_MAX) * ASSETS_MAX if store.is_emulated else 2 * per_work
        counting = manager(ledger, CompletionPolicy(50, 900))
        counting.update_expected_and_recheck_completion("job", "frames", many)
        completion = counting.update_job_progress("job", "frames", done=_numbered(many - 1), failed=["last"])
        assert completion is not None
        assert (completion.processed_assets, completion.reason) == (fires_at, "threshold")
        now = status(ledger, "frames")
        assert (now.done, now.failed, now.late, now.completion) == (many - 1, 1, many - fires_at, completion)
        assert topics(ledger) == ["frames.completed"]

    def test_a_call_broken_off_in_the_middle_is_made_again(self, ledger: Ledger, per_work: int) -> None:
        counting = manager(ledger)
        many = per_work + 1
        counting.update_expected_and_recheck_completion("job", "frames", many)
        with pytest.raises(InvalidWork):
            counting.update_job_progress("job", "frames", done=[*_numbered(many - 1), "a\0b"])
        assert status(ledger, "frames").done == many - 1
        completion = counting.update_job_progress("job", "frames", done=_numbered(many))
        assert completion is not None
        assert completion.processed_assets == many

    def test_no_assets_at_all(self, ledger: Ledger) -> None:
        """A call that tells nothing still makes the stage known, so that its watermark runs."""
        assert manager(ledger).update_job_progress("job", "frames") is None
        now = status(ledger, "frames")
        assert (now.expected, now.done, now.watermark_at) == (None, 0, ledger.now_ms() + 900_000)


def _numbered(count: int) -> Iterator[str]:
    return (f"{number:07}" for number in range(count))


class TestUnknown:
    def test_an_unknown_stage_gets_the_default_policy_and_its_own_topic(self, ledger: Ledger) -> None:
        counting = manager(ledger, CompletionPolicy(50, 900))
        assert counting.stage_status("job") == []
        counting.update_expected_and_recheck_completion("job", "never.heard.of", 2)
        completion = counting.update_job_progress("job", "never.heard.of", done=["a"])
        assert completion is not None
        assert (completion.topic, completion.reason) == ("never.heard.of.completed", "threshold")

    def test_a_job_that_does_not_exist_can_be_counted_for_but_not_moved_or_read(self, ledger: Ledger) -> None:
        """Whoever only counts needs no job row."""
        with pytest.raises(JobNotFound, match="ghost"):
            ledger.job("ghost")
        with pytest.raises(JobNotFound, match="ghost"):
            ledger.commit(moved(JobStatus.CANCELLED, job_id="ghost"))
        assert (ledger.stage_status("ghost"), ledger.outbox("ghost"), ledger.dead_letters("ghost")) == ([], [], [])
        ledger.commit(announced("segments", 1, job_id="ghost"))
        assert len(ledger.commit(done("segments", "a", job_id="ghost"))) == 1
        assert topics(ledger, "ghost") == ["segments.completed"]

    def test_a_stage_that_falls_short_for_a_job_that_does_not_exist_stays_open(self, ledger: Ledger) -> None:
        ledger.commit(announced("segments", 1, job_id="ghost"))
        assert ledger.commit(failed("segments", "a", job_id="ghost")) == []
        assert len(ledger.commit(done("segments", "a", job_id="ghost"))) == 1

    @pytest.mark.parametrize("name", NO_TEXT)
    def test_names_that_are_none(self, ledger: Ledger, name: str) -> None:
        for work in (
            announced("frames", 1, job_id=name),
            announced(name, 1),
            Work(new_job=new_job(name)),
            Work(new_job=new_job("job", key=name)),
            done("frames", "a", inbox=Inbox("q", name)),
            done("frames", "a", inbox=Inbox(name, "event")),
        ):
            with pytest.raises(InvalidWork):
                ledger.commit(work)
        assert (ledger.stage_status("job"), ledger.jobs()) == ([], [])

    @pytest.mark.parametrize("name", NO_TEXT)
    def test_asking_for_names_that_are_none_finds_nothing(self, ledger: Ledger, name: str) -> None:
        running_job(ledger)
        with pytest.raises(JobNotFound):
            ledger.job(name)
        with pytest.raises(JobNotFound):
            ledger.commit(moved(JobStatus.CANCELLED, job_id=name))
        assert ledger.job_with_key(name) is None
        assert ledger.stage_status(name) == []
        assert ledger.dead_letters(name) == []
        assert ledger.outbox(name) == []
        assert ledger.conflicts(name) == []
        assert list(ledger.assets(name, name)) == []

    @pytest.mark.parametrize("number", [0, -1, 2**40])
    def test_a_dead_letter_that_is_none(self, ledger: Ledger, number: int) -> None:
        with pytest.raises(ReelworkError, match="no dead letter"):
            ledger.commit(Work(replay=number))


class TestForeignText:
    """What comes from outside and must be kept whatever it is: messages that failed, errors, results, parameters."""

    def test_a_dead_letter_is_kept_whatever_its_message_holds(self, ledger: Ledger) -> None:
        letter = NewDeadLetter(
            job_id="job", queue="q", topic="t", event_id="e", body="{\0\ud800", error="\0\udcff", attempts=1
        )
        ledger.commit(Work(dead_letters=[letter, dead_letter()]))
        kept = ledger.dead_letters("job")[1]
        assert (kept.body, kept.error) == ("{??", "??")

    def test_results_and_parameters_are_kept_to_the_letter(self, ledger: Ledger) -> None:
        odd = {"text": 'NUL \0, lone \ud800, "quoted", e\u0301, 😀', "deep": [{"n": 1e300}, None, True]}
        ledger.commit(Work(new_job=NewJob(job_id="job", pipeline="analyze", input_path="input", parameters=odd)))
        ledger.commit(Work(stages=[STAGES.outcomes("job", "frames", [AssetOutcome("a", result=odd)])]))
        (asset,) = ledger.assets("job", "frames")
        assert (asset.result, ledger.job("job").parameters) == (odd, odd)

    def test_a_jobs_parameters_that_are_no_json(self, ledger: Ledger) -> None:
        for parameters in ({"x": object()}, {"x": NAN}):
            with pytest.raises(InvalidWork, match="parameters"):
                ledger.commit(
                    Work(new_job=NewJob(job_id="job", pipeline="analyze", input_path="i", parameters=parameters))
                )
        assert ledger.jobs() == []


class TestClockSetBack:
    """Watermarks, completions and dead letters when time goes backwards, as after a correction by NTP."""

    HOUR_MS = 3_600_000

    def test_nothing_is_lost_or_doubled(self, ledger: Ledger, clock: ManualClock) -> None:
        ledger.commit(announced("frames", 3))
        ledger.commit(done("frames", "a"))
        clock.advance_ms(-self.HOUR_MS)
        assert ledger.commit(done("frames", "a", "b")) == []
        (completion,) = ledger.commit(done("frames", "c"))
        assert (completion.processed_assets, completion.reason) == (3, "all")
        now = status(ledger, "frames")
        assert now.completed_at == clock.now_ms < now.created_at
        clock.advance_ms(2 * self.HOUR_MS)
        assert manager(ledger).expire_watermarks() == []
        assert topics(ledger) == ["frames.completed"]

    def test_a_watermark_does_not_wait_for_the_clock_to_come_back(self, ledger: Ledger, clock: ManualClock) -> None:
        ledger.commit(announced("frames", 2))
        ledger.commit(done("frames", "a"))
        clock.advance_ms(-self.HOUR_MS)
        assert manager(ledger).expire_watermarks() == []
        assert status(ledger, "frames").watermark_at == clock.now_ms + 900_000
        clock.advance_ms(900_000 - 1)
        assert manager(ledger).expire_watermarks() == []
        clock.advance_ms(1)
        (completion,) = manager(ledger).expire_watermarks()
        assert (completion.reason, completion.processed_assets) == ("watermark", 1)

    def test_a_clock_that_keeps_jumping_cannot_put_it_off_for_ever(self, ledger: Ledger, clock: ManualClock) -> None:
        """Each jump back costs its length at most."""
        ledger.commit(announced("frames", 2))
        clock.advance_ms(900_000 - 1)
        for _ in range(20):
            clock.advance_ms(-1_000)
            assert manager(ledger).expire_watermarks() == []
            clock.advance_ms(1_000)
        clock.advance_ms(1)
        assert [completion.reason for completion in manager(ledger).expire_watermarks()] == ["watermark"]

    def test_replays_cancelling_and_reading_go_on(self, ledger: Ledger, clock: ManualClock) -> None:
        running_job(ledger)
        ledger.commit(Work(dead_letters=[dead_letter()]))
        clock.advance_ms(-self.HOUR_MS)
        (letter,) = ledger.dead_letters("job")
        ledger.commit(Work(replay=letter.dead_letter_id))
        ledger.commit(announced("frames", 1))
        ledger.commit(moved(JobStatus.CANCELLED))
        assert ledger.commit(done("frames", "a")) == []
        job = ledger.job("job")
        assert (job.status, job.updated_at) == (JobStatus.CANCELLED, clock.now_ms)
        assert status(ledger, "frames").closed_at == clock.now_ms

    def test_two_machines_whose_clocks_differ(self, store: Store, ledger: Ledger) -> None:
        """Neither puts the watermark off by more than its own time to live, and it fires once."""
        other = Store(store.url)
        other.clock.now_ms = store.clock.now_ms + self.HOUR_MS
        ahead = other.open()
        ahead.commit(announced("frames", 2))
        ahead.commit(done("frames", "a"))
        assert manager(ledger).expire_watermarks() == []
        store.clock.advance(900)
        assert len(manager(ledger).expire_watermarks()) == 1
        assert manager(ahead).expire_watermarks() == []
        ahead.close()


def test_outcomes_of_no_known_kind(ledger: Ledger) -> None:
    """`started` is a mark, not an outcome: it has a way of its own."""
    for state in (AssetState.STARTED, "nonsense"):
        outcome = AssetOutcome("a", state)  # type: ignore[arg-type]
        with pytest.raises(InvalidWork, match="outcome"):
            ledger.commit(Work(stages=[STAGES.outcomes("job", "frames", [outcome])]))
    assert ledger.stage_status("job") == []
