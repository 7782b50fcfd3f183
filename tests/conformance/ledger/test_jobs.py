"""Jobs move by compare-and-set only; cancelling closes stages; falling short fails a job until a replay mends it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from reelwork.errors import JobNotFound, JobTransitionRefused, ReelworkError
from reelwork.events import JobCancelled, VideoSubmitted, stable_event_id
from reelwork.ledger import (
    ALLOWED_TRANSITIONS,
    AssetOutcome,
    AssetState,
    Inbox,
    JobExists,
    JobMove,
    JobStatus,
    Ledger,
    Work,
)
from reelwork.ledger.records import Recorded
from tests.clock import ManualClock
from tests.conformance.ledger.stores import (
    ALIVE,
    STAGES,
    announced,
    dead_letter,
    done,
    expiry,
    failed,
    fired,
    manager,
    moved,
    new_job,
    running_job,
    started,
    status,
    topics,
)

ANY = frozenset(JobStatus)
PENDING, RUNNING, FAILED, CANCELLED = JobStatus.PENDING, JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED
WAYS = {
    PENDING: [],
    RUNNING: [RUNNING],
    JobStatus.COMPLETED: [RUNNING, JobStatus.COMPLETED],
    FAILED: [FAILED],
    CANCELLED: [CANCELLED],
}


def job_in(ledger: Ledger, at: JobStatus, job_id: str = "job") -> None:
    ledger.commit(Work(new_job=new_job(job_id)))
    for step in WAYS[at]:
        ledger.commit(moved(step, job_id=job_id))
    assert ledger.job(job_id).status is at


def cancel(ledger: Ledger) -> None:
    event = JobCancelled(job_id="job", event_id=stable_event_id("cancel"), reason="no longer wanted")
    ledger.commit(Work(moves=moved(CANCELLED, error_message="no longer wanted").moves, events=[event]))


class TestMoves:
    @pytest.mark.parametrize(("at", "to"), list(product(JobStatus, JobStatus)))
    def test_only_the_allowed_ones(self, ledger: Ledger, clock: ManualClock, at: JobStatus, to: JobStatus) -> None:
        job_in(ledger, at)
        before = ledger.job("job")
        clock.advance(1)
        if to in ALLOWED_TRANSITIONS[at]:
            ledger.commit(moved(to, allowed=ANY))
            assert (ledger.job("job").status, ledger.job("job").updated_at) == (to, clock.now_ms)
        elif to is at:  # a move told twice
            ledger.commit(moved(to, allowed=ANY))
            assert ledger.job("job").status is at
        else:
            with pytest.raises(JobTransitionRefused, match=f"job job is {at}"):
                ledger.commit(moved(to, allowed=ANY))
            assert ledger.job("job") == before

    @pytest.mark.parametrize("allowed", [frozenset(), frozenset({RUNNING}), frozenset({FAILED, CANCELLED})])
    def test_compare_and_set(self, ledger: Ledger, allowed: frozenset[JobStatus]) -> None:
        job_in(ledger, PENDING)
        with pytest.raises(JobTransitionRefused):
            ledger.commit(moved(RUNNING, allowed=allowed))
        assert ledger.job("job").status is PENDING

    def test_phases_are_compared_too(self, ledger: Ledger) -> None:
        job_in(ledger, PENDING)
        ledger.commit(moved(RUNNING, phase="collection"))
        on = JobMove(job_id="job", allowed=ALIVE, phase_was="collection", phase="matching")
        ledger.commit(Work(moves=[on]))
        with pytest.raises(JobTransitionRefused):
            ledger.commit(Work(moves=[on]))
        assert (ledger.job("job").status, ledger.job("job").phase) == (RUNNING, "matching")

    def test_a_lenient_move_alone_is_dropped(self, ledger: Ledger) -> None:
        job_in(ledger, CANCELLED)
        work = Work(
            moves=[
                JobMove(job_id="job", allowed=ALIVE, to=FAILED, error_message="too late", lenient=True),
                JobMove(job_id="nobody", allowed=ALIVE, to=FAILED, lenient=True),
            ],
            dead_letters=[dead_letter()],
        )
        ledger.commit(work)
        assert (ledger.job("job").status, ledger.job("job").error_message) == (CANCELLED, None)
        assert len(ledger.dead_letters("job")) == 1

    def test_what_a_move_does_not_say_stays(self, ledger: Ledger) -> None:
        job_in(ledger, PENDING)
        ledger.commit(moved(RUNNING, phase="ranges"))
        ledger.commit(moved(JobStatus.COMPLETED, output_path="jobs/job/results.json"))
        job = ledger.job("job")
        assert (job.phase, job.output_path, job.error_message, job.input_path) == (
            "ranges",
            "jobs/job/results.json",
            None,
            "input/source.mp4",
        )

    def test_an_error_that_is_no_text(self, ledger: Ledger) -> None:
        job_in(ledger, RUNNING)
        ledger.commit(moved(FAILED, error_message="cannot open \udcff.mp4"))
        assert ledger.job("job").error_message == "cannot open ?.mp4"

    def test_of_many_at_once_one_wins(self, ledger: Ledger) -> None:
        job_in(ledger, PENDING)
        only_pending = moved(RUNNING, allowed=frozenset({PENDING}))
        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(lambda _: ledger.commit_all([only_pending, only_pending]), range(6)))
        outcomes = [result for pair in results for result in pair]
        assert outcomes.count([]) == 1
        assert all(isinstance(outcome, JobTransitionRefused) for outcome in outcomes if outcome != [])

    def test_nobody(self, ledger: Ledger) -> None:
        with pytest.raises(JobNotFound, match="nobody"):
            ledger.job("nobody")


class TestSubmission:
    def test_one_key_means_one_job(self, ledger: Ledger) -> None:
        ledger.commit(Work(new_job=new_job("first", key="k")))
        with pytest.raises(JobExists) as refusal:
            ledger.commit(Work(new_job=new_job("second", key="k"), events=[VideoSubmitted(job_id="second")]))
        assert (refusal.value.job_id, ledger.job_with_key("k"), ledger.job_with_key("other")) == (
            "first",
            "first",
            None,
        )
        assert ledger.outbox("second") == []
        with pytest.raises(JobNotFound):
            ledger.job("second")

    def test_in_one_group_and_from_many_threads(self, ledger: Ledger) -> None:
        works = [Work(new_job=new_job(f"a{number}", key="k")) for number in range(4)]
        assert [type(result) for result in ledger.commit_all(works)] == [Recorded, JobExists, JobExists, JobExists]

        def submit(number: int) -> str:
            try:
                ledger.commit(Work(new_job=new_job(f"b{number}", key="other")))
            except JobExists as exists:
                return exists.job_id
            return f"b{number}"

        with ThreadPoolExecutor(6) as pool:
            assert len(set(pool.map(submit, range(12)))) == 1
        assert len(ledger.jobs()) == 2

    @pytest.mark.parametrize("at", list(JobStatus))
    def test_one_that_may_be_there_already_stays_as_it_is(self, ledger: Ledger, at: JobStatus) -> None:
        job_in(ledger, at)
        before = ledger.job("job")
        again = replace(new_job(), input_path="other", parameters={"a": 1}, if_absent=True)
        begun = JobMove(job_id="job", allowed=frozenset({PENDING}), to=RUNNING, phase="first", lenient=True)
        ledger.commit(Work(new_job=again, moves=[begun], stages=announced("s", 1).stages))
        job, (stage,) = ledger.job("job"), ledger.stage_status("job")
        assert job.status is (RUNNING if at is PENDING else at)
        assert (job.input_path, job.parameters, job.created_at) == (
            before.input_path,
            before.parameters,
            before.created_at,
        )
        assert [completion.stage for completion in ledger.commit(done("s", "a"))] == (
            [] if at is CANCELLED else [stage.stage]
        )

    def test_one_is_made_and_begun_in_one_work_by_one_of_many(self, ledger: Ledger) -> None:
        def begin(number: int) -> None:
            job = replace(new_job(), parameters={"number": number}, if_absent=True)
            begun = JobMove(job_id="job", allowed=frozenset({PENDING}), to=RUNNING, phase="first", lenient=True)
            ledger.commit(Work(new_job=job, moves=[begun], stages=announced("s", 3).stages))

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(begin, range(12)))
        job, (stage,) = ledger.job("job"), ledger.stage_status("job")
        assert (job.status, job.phase, stage.expected, len(ledger.jobs())) == (RUNNING, "first", 3, 1)
        assert ledger.conflicts("job") == []

    def test_jobs_without_a_key_do_not_meet(self, ledger: Ledger) -> None:
        assert fired(ledger.commit_all([Work(new_job=new_job("a")), Work(new_job=new_job("b"))])) == []

    def test_listing_newest_first_in_pages(self, ledger: Ledger, clock: ManualClock) -> None:
        for number in range(7):
            ledger.commit(Work(new_job=new_job(f"job-{number}")))
            clock.advance_ms(number % 2)  # some are born in the same millisecond
        ledger.commit(moved(RUNNING, job_id="job-3"))
        every = [job.job_id for job in ledger.jobs()]
        assert sorted(every, reverse=True) == every
        paged: list[str] = []
        while page := ledger.jobs(limit=2, before=paged[-1] if paged else None):
            paged += [job.job_id for job in page]
        assert paged == every
        assert [job.job_id for job in ledger.jobs(statuses=[RUNNING])] == ["job-3"]
        assert ledger.jobs(pipeline="stereo") == []

    def test_running_jobs_in_pages(self, ledger: Ledger) -> None:
        for name in ("c", "a", "b", "d"):
            ledger.commit(Work(new_job=new_job(name)))
        for name in ("c", "b", "d"):
            ledger.commit(moved(RUNNING, job_id=name))
        assert ledger.running_jobs(limit=2) == ["b", "c"]
        assert ledger.running_jobs(after="c", limit=2) == ["d"]
        assert ledger.running_jobs(after="d") == []


class TestCancelling:
    def test_closes_every_open_stage_in_the_same_work(self, ledger: Ledger, clock: ManualClock) -> None:
        running_job(ledger)
        ledger.commit_all(
            [announced("frames", 1), announced("masks", 0), done("ranges", "a"), announced("frames", 1, job_id="other")]
        )
        cancel(ledger)
        closed = {stage.stage: (stage.closed_at, stage.completed_at) for stage in ledger.stage_status("job")}
        now_ms = clock.now_ms
        assert closed == {"frames": (now_ms, None), "masks": (None, now_ms), "ranges": (now_ms, None)}
        assert [(stage.job_id, stage.stage) for stage in ledger.open_stages()] == [("other", "frames")]

    def test_nothing_fires_and_no_event_goes_out_after_it(self, ledger: Ledger, clock: ManualClock) -> None:
        running_job(ledger)
        ledger.commit_all([announced("frames", 1), announced("halves", 2), announced("segments", 1)])
        ledger.commit(done("halves", "a"))
        cancel(ledger)
        before = topics(ledger)
        event = VideoSubmitted(job_id="job")
        outcome = AssetOutcome("b", events=[event])
        clock.advance(10_000)
        results = ledger.commit_all(
            [
                done("frames", "a"),
                Work(stages=[STAGES.outcomes("job", "halves", [outcome])], events=[event], inbox=Inbox("q", "e")),
                failed("segments", "a"),
                announced("born.later", 0),
                announced("born.with.assets", 1),
                done("born.with.assets", "a"),
                expiry("frames"),
            ]
        )
        assert fired(results) == []
        assert manager(ledger).expire_watermarks() == []
        assert topics(ledger) == before == ["halves.completed", "job.cancelled"]
        assert status(ledger, "born.later").closed_at == clock.now_ms
        assert status(ledger, "frames").done == 1

    @pytest.mark.parametrize("together", [True, False])
    def test_in_one_group_with_what_it_stops(self, ledger: Ledger, together: bool) -> None:
        running_job(ledger)
        works = [announced("a", 1), moved(CANCELLED), announced("b", 0), done("a", "x")]
        results = ledger.commit_all(works) if together else [ledger.commit(work) for work in works]
        assert fired(results) == []
        assert topics(ledger) == []
        assert [stage.closed_at is None for stage in ledger.stage_status("job")] == [False, False]

    def test_a_completion_before_it_in_the_group_stands(self, ledger: Ledger) -> None:
        running_job(ledger)
        results = ledger.commit_all([announced("a", 0), moved(CANCELLED), announced("a", 0)])
        assert len(fired(results)) == 1
        assert (status(ledger, "a").closed_at, topics(ledger)) == (None, ["a.completed"])

    def test_cannot_be_taken_back(self, ledger: Ledger) -> None:
        job_in(ledger, CANCELLED)
        ledger.commit(Work(dead_letters=[dead_letter()]))
        with pytest.raises(JobTransitionRefused, match="cancelled"):
            ledger.commit(Work(replay=ledger.dead_letters()[0].dead_letter_id))


class TestFallingShort:
    """Segments to be joined are all needed."""

    def test_fails_the_job_naming_what_is_missing(self, ledger: Ledger) -> None:
        running_job(ledger)
        ledger.commit(announced("segments", 3))
        ledger.commit(failed("segments", "000001", error="no keyframe"))
        assert ledger.job("job").status is RUNNING
        ledger.commit(done("segments", "000000"))
        assert ledger.commit(failed("segments", "000002", error="truncated")) == []
        job = ledger.job("job")
        assert (job.status, job.error_message) == (
            FAILED,
            "stage segments needs all its assets; missing: 000001 (no keyframe), 000002 (truncated)",
        )
        (event,) = ledger.outbox("job")
        assert (event.topic, json.loads(event.body)["reason"]) == ("job.failed", job.error_message)
        assert status(ledger, "segments").completion is None

    def test_by_the_watermark_and_without_an_announcement(self, ledger: Ledger, clock: ManualClock) -> None:
        running_job(ledger)
        running_job(ledger, "silent")
        ledger.commit(announced("segments", 2))
        ledger.commit(done("segments", "000000", job_id="silent"))
        clock.advance(900)
        assert fired(ledger.commit_all([expiry("segments"), expiry("segments", job_id="silent")])) == []
        assert "2 that never arrived" in (ledger.job("job").error_message or "")
        assert "never announced" in (ledger.job("silent").error_message or "")
        assert ledger.due_stages() == []

    def test_stages_of_failed_jobs_are_not_due_before_their_job_is_back(
        self, ledger: Ledger, clock: ManualClock
    ) -> None:
        running_job(ledger)
        running_job(ledger, "other")
        ledger.commit(announced("segments", 2))
        ledger.commit(announced("segments", 2, job_id="other"))
        letter = dead_letter(job_id="other")
        ledger.commit(Work(moves=moved(JobStatus.FAILED, job_id="other").moves, dead_letters=[letter]))
        clock.advance(900)
        assert [stage.job_id for stage in ledger.due_stages()] == ["job"]
        ledger.commit(expiry("segments"))
        clock.advance(9_000)
        assert ledger.due_stages() == []
        ledger.commit(Work(replay=ledger.dead_letters("other")[0].dead_letter_id))
        assert [stage.job_id for stage in ledger.due_stages()] == ["other"]

    def test_a_replay_that_fills_the_gap_brings_the_job_back_and_fires(
        self, ledger: Ledger, clock: ManualClock
    ) -> None:
        running_job(ledger)
        ledger.commit(announced("segments", 2))
        ledger.commit(done("segments", "a"))
        ledger.commit(Work(stages=failed("segments", "b").stages, dead_letters=[dead_letter("b")]))
        (letter,) = ledger.dead_letters("job")
        clock.advance(60)
        ledger.commit(Work(replay=letter.dead_letter_id))
        job = ledger.job("job")
        assert (job.status, job.error_message, job.updated_at) == (RUNNING, None, clock.now_ms)
        replayed = ledger.outbox("job")[-1]
        assert (replayed.queue, replayed.topic, replayed.event_id, replayed.body, replayed.is_replay) == (
            "q.frames",
            "video.range.ready",
            "event-b",
            letter.body,
            True,
        )
        ledger.commit(started("segments", "b"))
        (completion,) = ledger.commit(done("segments", "b", inbox=Inbox("q.frames", "event-b")))
        assert (completion.reason, completion.has_partial_completion, completion.failed_assets) == ("all", False, 0)
        assert ledger.job("job").status is RUNNING

    def test_a_replay_that_fails_again_fails_the_job_again(self, ledger: Ledger, clock: ManualClock) -> None:
        running_job(ledger)
        ledger.commit(announced("segments", 1))
        for attempt in range(3):
            error = f"attempt {attempt}"
            ledger.commit(
                Work(stages=failed("segments", "a", error=error).stages, dead_letters=[dead_letter("a", error=error)])
            )
            assert ledger.job("job").status is FAILED
            clock.advance(1)
            ledger.commit(Work(replay=ledger.dead_letters("job")[0].dead_letter_id))
            assert ledger.job("job").status is RUNNING
        assert topics(ledger).count("job.failed") == 3

    def test_more_than_fit_into_one_message(self, ledger: Ledger) -> None:
        running_job(ledger)
        ledger.commit(announced("segments", 50))
        ledger.commit(failed("segments", *(f"{number:03}" for number in range(50)), error="\udcff" * 3_000))
        assert ledger.job("job").status is FAILED
        assert len(ledger.job("job").error_message or "") <= 2_000

    def test_a_job_that_is_over_is_left_alone(self, ledger: Ledger) -> None:
        job_in(ledger, JobStatus.COMPLETED)
        ledger.commit(announced("segments", 1))
        ledger.commit(failed("segments", "a"))
        assert (ledger.job("job").status, topics(ledger)) == (JobStatus.COMPLETED, [])

    def test_a_stage_without_a_job(self, ledger: Ledger) -> None:
        """The ledger counts for outsiders too, who have jobs of their own."""
        ledger.commit(announced("segments", 1))
        assert ledger.commit(failed("segments", "a")) == []
        assert len(ledger.commit(done("segments", "a"))) == 1


class TestDeadLetters:
    def test_newest_first_by_job(self, ledger: Ledger) -> None:
        ledger.commit(Work(dead_letters=[dead_letter("a"), dead_letter("b", job_id="other")]))
        ledger.commit(Work(dead_letters=[dead_letter("c")]))
        assert [letter.event_id for letter in ledger.dead_letters()] == ["event-c", "event-b", "event-a"]
        assert [letter.event_id for letter in ledger.dead_letters("job")] == ["event-c", "event-a"]
        assert [letter.event_id for letter in ledger.dead_letters(limit=1)] == ["event-c"]
        newest = ledger.dead_letters()[0]
        assert (newest.queue, newest.topic, newest.error, newest.attempts, newest.replayed_at) == (
            "q.frames",
            "video.range.ready",
            "unreadable",
            5,
            None,
        )

    def test_those_that_fit_all_that_is_asked(self, ledger: Ledger) -> None:
        """An error is matched literally, so a per cent sign is no wildcard; ASCII letters in either case."""
        letters = [
            replace(dead_letter("a"), stage="frames", error="Timeout after 5 s"),
            replace(dead_letter("b"), stage="frames", error="100% lost"),
            replace(dead_letter("c", job_id="other"), queue="q.other", error="100 files lost"),
            replace(dead_letter("d"), error="snake_case"),
            replace(dead_letter("e"), error="snake case"),
        ]
        ledger.commit(Work(dead_letters=letters))
        ledger.commit(Work(replay=ledger.dead_letters()[-1].dead_letter_id))

        def found(**filters: Any) -> list[str]:
            return [letter.event_id.removeprefix("event-") for letter in ledger.dead_letters(**filters)]

        assert found(stage="frames") == ["b", "a"]
        assert found(queue="q.other") == ["c"]
        assert found(error="TIMEOUT") == ["a"]
        assert found(error="0% L") == ["b"]
        assert found(error="e_c") == ["d"]
        assert found(error="\\") == []
        assert found(job_id="job", error="lost") == ["b"]
        assert found(replayed=True) == ["a"]
        assert found(replayed=False, stage="frames") == ["b"]

    def test_page_by_page(self, ledger: Ledger) -> None:
        ledger.commit(Work(dead_letters=[dead_letter(name) for name in "abcde"]))
        pages, before = [], None
        while page := ledger.dead_letters(before=before, limit=2):
            pages.append([letter.event_id.removeprefix("event-") for letter in page])
            before = page[-1].dead_letter_id
        assert pages == [["e", "d"], ["c", "b"], ["a"]]

    def test_one_by_its_number(self, ledger: Ledger) -> None:
        ledger.commit(Work(dead_letters=[dead_letter("a"), dead_letter("b")]))
        for letter in ledger.dead_letters():
            assert ledger.dead_letter(letter.dead_letter_id) == letter
        assert ledger.dead_letter(99) is None

    def test_a_message_that_is_given_up_again_has_one_until_it_is_replayed(self, ledger: Ledger) -> None:
        letter = dead_letter()
        others = [replace(letter, queue="q.other"), replace(letter, job_id="other"), replace(letter, body="{}")]
        ledger.commit_all([Work(dead_letters=[letter]), Work(dead_letters=[letter, *others])])
        ledger.commit(Work(dead_letters=[replace(letter, error="again")]))
        assert [found.error for found in ledger.dead_letters()] == [*["unreadable"] * 3, "again"]
        ledger.commit(Work(replay=ledger.dead_letters()[-1].dead_letter_id))
        ledger.commit(Work(dead_letters=[replace(letter, error="again")] * 2))
        assert [found.error for found in ledger.dead_letters(replayed=False)] == ["again", *["unreadable"] * 3]
        assert len(ledger.dead_letters()) == 5

    def test_with_the_failure_of_its_asset_in_one_work(self, ledger: Ledger) -> None:
        ledger.commit(announced("frames", 1))
        work = Work(stages=failed("frames", "a", error="unreadable").stages, dead_letters=[dead_letter("a")])
        (completion,) = ledger.commit(work)
        assert (completion.reason, completion.failed_assets) == ("settled", 1)
        assert ledger.known_assets("job", "frames", ["a"])["a"].state is AssetState.FAILED

    def test_is_replayed_once(self, ledger: Ledger, clock: ManualClock) -> None:
        ledger.commit(Work(dead_letters=[dead_letter()]))
        (letter,) = ledger.dead_letters()
        ledger.commit(Work(replay=letter.dead_letter_id))
        assert ledger.dead_letters()[0].replayed_at == clock.now_ms
        with pytest.raises(ReelworkError, match="replayed already"):
            ledger.commit(Work(replay=letter.dead_letter_id))
        assert len(ledger.outbox("job")) == 1

    def test_is_replayed_once_by_two_in_one_group(self, ledger: Ledger) -> None:
        ledger.commit(Work(dead_letters=[dead_letter()]))
        replay = Work(replay=ledger.dead_letters()[0].dead_letter_id)
        first, second = ledger.commit_all([replay, replay])
        assert (first, type(second)) == ([], ReelworkError)
        assert len(ledger.outbox("job")) == 1

    def test_the_replayed_event_may_have_been_sent_before(self, ledger: Ledger) -> None:
        """Its event is in the outbox already, under the same id; the replay is a row of its own."""
        event = VideoSubmitted(job_id="job")
        ledger.commit(Work(events=[event]))
        letter = dead_letter()
        letter = type(letter)(
            job_id="job",
            queue="q",
            topic=event.topic,
            event_id=str(event.identity),
            body=event.body(),
            error="e",
            attempts=1,
        )
        for _ in range(2):
            ledger.commit(Work(dead_letters=[letter]))
            ledger.commit(Work(replay=ledger.dead_letters()[0].dead_letter_id))
        assert [row.queue for row in ledger.outbox("job")] == [None, "q", "q"]

    def test_an_unknown_one(self, ledger: Ledger) -> None:
        with pytest.raises(ReelworkError, match="no dead letter 7"):
            ledger.commit(Work(replay=7))
