"""A work is all or nothing, alone or in a group; an event and a message count once."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from reelwork.errors import ContractViolation, InvalidWork, JobNotFound, JobTransitionRefused
from reelwork.events import VideoRangesBatch, VideoSubmitted, completion_event_id, stable_event_id
from reelwork.ledger import AssetOutcome, Inbox, JobStatus, Ledger, Work
from reelwork.ledger.records import Recorded
from tests.conformance.ledger.stores import (
    ALIVE,
    STAGES,
    Store,
    announced,
    dead_letter,
    done,
    failed,
    fired,
    moved,
    new_job,
    running_job,
    started,
    status,
    topics,
)

IMPOSSIBLE_MOVE = moved(JobStatus.COMPLETED, job_id="nobody").moves


def everything(ledger: Ledger, job_id: str = "job") -> list[Any]:
    """Whatever a work could have left behind."""
    stages = ledger.stage_status(job_id)
    return [
        ledger.jobs(),
        stages,
        [asset for stage in stages for asset in ledger.assets(job_id, stage.stage)],
        ledger.outbox(job_id),
        ledger.conflicts(job_id),
        ledger.dead_letters(job_id),
        ledger.consumers(["event"]),
    ]


class BrokenEvent:
    """An event that finds out too late that it has no body."""

    topic = "video.range.ready"
    job_id = "job"
    identity = "broken"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def body(self) -> str:
        raise self._error


class TestAllOrNothing:
    def test_a_refused_move_leaves_nothing_of_its_work(self, ledger: Ledger) -> None:
        running_job(ledger)
        ledger.commit(announced("frames", 3))
        before = everything(ledger)
        work = Work(
            moves=[*moved(JobStatus.COMPLETED).moves, *IMPOSSIBLE_MOVE],
            stages=[*done("frames", "a", "b", "c").stages, *announced("frames", 1).stages],
            events=[VideoSubmitted(job_id="job")],
            inbox=Inbox("q", "event"),
            dead_letters=[dead_letter()],
        )
        with pytest.raises(JobNotFound, match="nobody"):
            ledger.commit(work)
        assert everything(ledger) == before

    @pytest.mark.parametrize("error", [ContractViolation("no body"), RuntimeError("no body")])
    def test_an_event_without_a_body_takes_its_work_back_and_nobody_elses(
        self, ledger: Ledger, error: Exception
    ) -> None:
        ledger.commit(announced("frames", 3))
        before = everything(ledger)
        broken = Work(
            stages=[
                STAGES.outcomes("job", "frames", [AssetOutcome("a"), AssetOutcome("b", events=[BrokenEvent(error)])])
            ],
            inbox=Inbox("q", "event"),
        )
        first, second, third = ledger.commit_all([broken, done("masks", "x"), Work(events=[BrokenEvent(error)])])
        assert (first, second, third) == (error, [], error)
        assert status(ledger, "masks").done == 1
        assert everything(ledger)[2:] == [[*before[2], *ledger.assets("job", "masks")], *before[3:]]
        assert status(ledger, "frames").done == 0

    def test_an_invalid_work_never_joins(self, ledger: Ledger) -> None:
        with pytest.raises(InvalidWork):
            ledger.commit(announced("frames", -1))
        assert ledger.stage_status("job") == []

    def test_what_is_no_work_at_all_harms_nobody(self, ledger: Ledger) -> None:
        first, second, third = ledger.commit_all([done("frames", "a"), "nonsense", done("frames", "b")])  # type: ignore[list-item]
        assert (first, third) == ([], [])
        assert isinstance(second, AttributeError)
        assert status(ledger, "frames").done == 2

    def test_two_moves_of_one_job_are_judged_one_after_the_other(self, ledger: Ledger) -> None:
        running_job(ledger)
        alive = frozenset({JobStatus.RUNNING})
        both = [*moved(JobStatus.COMPLETED, allowed=alive).moves, *moved(JobStatus.FAILED, allowed=alive).moves]
        with pytest.raises(JobTransitionRefused):
            ledger.commit(Work(moves=both))
        assert ledger.job("job").status is JobStatus.RUNNING


class TestInbox:
    def test_a_second_delivery_is_dropped_whole(self, ledger: Ledger) -> None:
        ledger.commit(done("frames", "a", inbox=Inbox("q", "event")))
        before = everything(ledger)
        again = Work(
            new_job=new_job(),
            moves=IMPOSSIBLE_MOVE,
            stages=done("frames", "b").stages,
            events=[VideoSubmitted(job_id="job")],
            dead_letters=[dead_letter()],
            inbox=Inbox("q", "event"),
        )
        assert ledger.commit(again) == []
        assert everything(ledger) == before

    def test_twice_in_one_group(self, ledger: Ledger) -> None:
        works = [done("frames", asset_id, inbox=Inbox("q", "event")) for asset_id in "ab"]
        assert fired(ledger.commit_all(works)) == []
        assert [asset.asset_id for asset in ledger.assets("job", "frames")] == ["a"]

    def test_each_queue_consumes_for_itself(self, ledger: Ledger) -> None:
        ledger.commit(done("frames", "a", inbox=Inbox("q.one", "event")))
        ledger.commit(done("frames", "b", inbox=Inbox("q.two", "event")))
        assert ledger.consumers(["event", "other"]) == {
            "event": {"q.one": ledger.now_ms(), "q.two": ledger.now_ms()},
            "other": {},
        }
        assert status(ledger, "frames").done == 2

    def test_a_refused_work_has_consumed_nothing(self, ledger: Ledger) -> None:
        with pytest.raises(JobNotFound):
            ledger.commit(Work(moves=IMPOSSIBLE_MOVE, inbox=Inbox("q", "event")))
        ledger.commit(done("frames", "a", inbox=Inbox("q", "event")))
        assert status(ledger, "frames").done == 1

    def test_what_was_consumed_is_not_given_up_by_a_copy(self, ledger: Ledger) -> None:
        running_job(ledger)
        ledger.commit(done("frames", "a", consumed=[Inbox("q.frames", "event-a")]))
        before = everything(ledger)
        given_up = Work(
            moves=moved(JobStatus.FAILED).moves,
            stages=failed("frames", "a", "b").stages,
            events=[VideoSubmitted(job_id="job")],
            dead_letters=[dead_letter("a")],
            unless_consumed=Inbox("q.frames", "event-a"),
        )
        assert ledger.commit(given_up) == []
        assert everything(ledger) == before
        another = replace(given_up, unless_consumed=Inbox("q.other", "event-a"))
        ledger.commit(another)
        assert ledger.job("job").status is JobStatus.FAILED
        assert [letter.event_id for letter in ledger.dead_letters("job")] == ["event-a"]

    def test_a_copy_in_the_same_group_counts_in_its_order(self, ledger: Ledger) -> None:
        consumed = done("frames", "a", consumed=[Inbox("q.frames", "event-a")])
        given_up = failed("frames", "a", dead_letters=[dead_letter("a")], unless_consumed=Inbox("q.frames", "event-a"))
        assert fired(ledger.commit_all([given_up, consumed, given_up])) == []
        assert len(ledger.dead_letters("job")) == 1
        assert status(ledger, "frames").done == 1

    def test_a_dead_letter_counts_as_consumed(self, ledger: Ledger) -> None:
        ledger.commit(Work(dead_letters=[dead_letter("a")]))
        assert ledger.consumers(["event-a"]) == {"event-a": {"q.frames": ledger.now_ms()}}


class TestOutbox:
    def test_keeps_the_order_of_a_jobs_events(self, ledger: Ledger) -> None:
        batch = VideoRangesBatch(job_id="job", event_id=stable_event_id("batch"), total_ranges=1)
        ledger.commit(Work(stages=announced("frames", 1).stages, events=[VideoSubmitted(job_id="job"), batch]))
        ledger.commit(done("frames", "a"))
        assert topics(ledger) == ["video.submitted", "video.ranges.batch", "frames.completed"]
        sequences = [row.sequence for row in ledger.outbox("job")]
        assert sequences == sorted(sequences)

    def test_one_event_means_one_row(self, ledger: Ledger) -> None:
        event = VideoSubmitted(job_id="job")
        ledger.commit(Work(events=[event, event]))
        ledger.commit_all([Work(events=[event]), Work(events=[event])])
        (row,) = ledger.outbox("job")
        assert (row.event_id, row.body, row.queue, row.is_replay) == (str(event.identity), event.body(), None, False)

    def test_completion_ids_are_the_same_everywhere(self, ledger: Ledger) -> None:
        ledger.commit(announced("frames", 0, job_id="job-7"))
        (row,) = ledger.outbox("job-7")
        assert row.event_id == str(uuid5(NAMESPACE_URL, "reelwork:job-7/frames"))

    def test_goes_through_the_relays_hands(self, ledger: Ledger, store: Store) -> None:
        running_job(ledger)
        ledger.commit(Work(events=[VideoSubmitted(job_id="job")]))
        ledger.commit(announced("frames", 0))
        first, second = ledger.unpublished()
        assert [row.topic for row in ledger.unpublished(limit=1)] == [first.topic]
        due_at = store.clock.now_ms + 300_000
        ledger.mark_published([first.sequence], look_again_at={first.sequence: due_at})
        assert [row.sequence for row in ledger.unpublished()] == [second.sequence]
        assert ledger.unfinished(published_before_ms=due_at - 1) == []
        (unfinished,) = ledger.unfinished(published_before_ms=due_at)
        assert (unfinished.sequence, unfinished.publications, unfinished.published_at) == (
            first.sequence,
            1,
            store.clock.now_ms,
        )
        ledger.mark_finished([first.sequence])
        assert ledger.unfinished(published_before_ms=due_at) == []

    def test_events_of_a_dead_job_are_not_published_again(self, ledger: Ledger) -> None:
        running_job(ledger)
        ledger.commit(Work(events=[VideoSubmitted(job_id="job")]))
        (row,) = ledger.unpublished()
        ledger.mark_published([row.sequence], look_again_at={row.sequence: 1})
        for over in (JobStatus.FAILED, JobStatus.COMPLETED):
            running_job(ledger, over)
            ledger.commit(Work(events=[VideoSubmitted(job_id=over)]))
            ledger.mark_published(
                [ledger.unpublished()[0].sequence], look_again_at={ledger.unpublished()[0].sequence: 1}
            )
            ledger.commit(moved(over, job_id=over))
        ledger.commit(moved(JobStatus.CANCELLED))
        assert [lost.job_id for lost in ledger.unfinished(published_before_ms=10**15)] == ["failed", "completed"]

    def test_an_event_is_awaited_until_its_queue_has_consumed_it(self, ledger: Ledger) -> None:
        running_job(ledger)
        event = VideoSubmitted(job_id="job")
        to_frames, to_others = [(event.topic, "q.frames")], [(event.topic, "q.frames"), (event.topic, "q.others")]
        assert not ledger.awaits("job", to_others)
        ledger.commit(Work(events=[event]))
        assert ledger.awaits("job", to_frames)
        assert not ledger.awaits("job", [("another.topic", "q.frames")])
        assert not ledger.awaits("another", to_frames)
        ledger.commit(Work(inbox=Inbox("q.frames", str(event.identity))))
        assert not ledger.awaits("job", to_frames)
        assert ledger.awaits("job", to_others)
        ledger.mark_finished([row.sequence for row in ledger.outbox("job")])
        assert not ledger.awaits("job", to_others)

    def test_a_replay_is_awaited_until_something_new_comes_of_it(self, ledger: Ledger, store: Store) -> None:
        running_job(ledger)
        event = VideoSubmitted(job_id="job")
        letter = replace(dead_letter(), event_id=str(event.identity), topic=event.topic)
        to_frames = [(event.topic, "q.frames")]
        ledger.commit(Work(events=[event]))
        ledger.commit(Work(dead_letters=[letter]))
        assert not ledger.awaits("job", to_frames)
        store.clock.advance(1)
        ledger.commit(Work(replay=ledger.dead_letters("job")[0].dead_letter_id))
        assert ledger.awaits("job", to_frames)
        store.clock.advance(1)
        ledger.commit(Work(dead_letters=[letter]))
        assert not ledger.awaits("job", to_frames)
        ledger.commit(Work(replay=ledger.dead_letters("job")[0].dead_letter_id))
        ledger.commit(Work(inbox=Inbox("q.frames", str(event.identity))))
        assert not ledger.awaits("job", to_frames)


class TestGroupCommit:
    def test_only_the_culprit_hears_of_its_error(self, ledger: Ledger) -> None:
        running_job(ledger)
        ledger.commit(announced("frames", 3))
        results = ledger.commit_all(
            [
                done("frames", "a"),
                Work(moves=IMPOSSIBLE_MOVE, stages=done("frames", "lost").stages),
                Work(new_job=new_job("job")),  # there is one already
                done("frames", "b"),
                announced("frames", -1),
                done("frames", "c"),
            ]
        )
        assert [type(result) for result in results] == [
            Recorded,
            JobNotFound,
            InvalidWork,
            Recorded,
            InvalidWork,
            Recorded,
        ]
        assert [len(result) for result in results if isinstance(result, list)] == [0, 0, 1]
        assert [asset.asset_id for asset in ledger.assets("job", "frames")] == ["a", "b", "c"]

    def test_works_of_one_group_see_each_other(self, ledger: Ledger) -> None:
        results = ledger.commit_all(
            [
                Work(new_job=new_job()),
                moved(JobStatus.RUNNING),
                announced("frames", 2),
                done("frames", "a"),
                failed("frames", "b"),
                done("frames", "b"),
                moved(JobStatus.COMPLETED, allowed=frozenset({JobStatus.RUNNING})),
                moved(JobStatus.FAILED),
            ]
        )
        assert isinstance(results.pop(), JobTransitionRefused)
        (completion,) = fired(results)
        assert (completion.reason, ledger.job("job").status) == ("settled", JobStatus.COMPLETED)
        assert (status(ledger, "frames").done, status(ledger, "frames").late) == (2, 1)

    def test_more_works_than_fit_one_group(self, ledger: Ledger) -> None:
        works = [announced("frames", 1_201), *(done("frames", f"{number:05}") for number in range(1_201))]
        assert len(fired(ledger.commit_all(works))) == 1

    def test_a_group_and_the_same_works_one_by_one_leave_the_same(self, ledger: Ledger) -> None:
        def story(job_id: str) -> list[Work]:
            return [
                started("segments", "a", job_id=job_id),
                announced("segments", 2, job_id=job_id),
                done("segments", "a", job_id=job_id),
                announced("segments", 1, job_id=job_id),
                failed("segments", "b", job_id=job_id),
                started("segments", "b", job_id=job_id),
                announced("halves", 0, job_id=job_id),
                done("halves", "z", job_id=job_id),
            ]

        running_job(ledger, "grouped")
        running_job(ledger, "single")
        ledger.commit_all(story("grouped"))
        for work in story("single"):
            ledger.commit(work)

        def left(job_id: str) -> str:
            rows = [
                ledger.stage_status(job_id),
                list(ledger.assets(job_id, "segments")),
                [row.topic for row in ledger.outbox(job_id)],
                ledger.conflicts(job_id),
                ledger.job(job_id).status,
                ledger.job(job_id).error_message,
            ]
            identities = [str(completion_event_id(job_id, stage)) for stage in ("segments", "halves")]
            text = repr(rows).replace(job_id, "job")
            for identity in identities:
                text = text.replace(identity, "identity")
            return text

        assert left("grouped") == left("single")

    def test_threads_that_commit_at_once_each_get_their_own_result(self, ledger: Ledger) -> None:
        """Eight threads; every third work of each is refused. Nobody loses anything, nobody hears another's error."""
        threads, each = 8, 60
        ledger.commit(announced("frames", threads * each))
        together = threading.Barrier(threads)

        def run(thread: int) -> list[Any]:
            together.wait()
            seen: list[Any] = []
            for number in range(each):
                seen.append(ledger.commit(done("frames", f"{thread}-{number:03}")))
                if number % 3 == 0:
                    with pytest.raises(JobNotFound, match=f"nobody-{thread}-{number}$"):
                        ledger.commit(moved(JobStatus.FAILED, job_id=f"nobody-{thread}-{number}", allowed=ALIVE))
            return seen

        with ThreadPoolExecutor(threads) as pool:
            completions = [fired for seen in pool.map(run, range(threads)) for result in seen for fired in result]
        assert [(completion.reason, completion.processed_assets) for completion in completions] == [
            ("all", threads * each)
        ]
        assert topics(ledger) == ["frames.completed"]

    def test_threads_told_of_the_same_last_asset(self, ledger: Ledger) -> None:
        for round_number in range(10):
            job_id = f"job-{round_number}"
            ledger.commit(announced("frames", 1, job_id=job_id))
            together = threading.Barrier(6)

            def last(_: int, job_id: str = job_id, together: threading.Barrier = together) -> int:
                together.wait()
                return len(ledger.commit(done("frames", "last", job_id=job_id)))

            with ThreadPoolExecutor(6) as pool:
                assert sum(pool.map(last, range(6))) == 1
            assert json.loads(ledger.outbox(job_id)[0].body)["processed_assets"] == 1
