"""Which works share a transaction of DynamoDB, and how one that is too large for any is cut."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from reelwork.errors import InvalidWork
from reelwork.events import VideoSubmitted
from reelwork.ledger import AssetOutcome, AssetState, Inbox, JobMove, JobStatus, NewDeadLetter, NewJob, Work
from reelwork.ledger.dynamodb.outbox import PACKED_BYTES_MAX, chunks, packed, rows
from reelwork.ledger.dynamodb.parts import ASSETS_MAX, BYTES_MAX, ITEMS_MAX, LOOSE_EVENTS_MAX, parts_of, together
from reelwork.ledger.progress import BaseJobProgressManager
from reelwork.message import Message

STAGES = BaseJobProgressManager()
SEGMENT = {"job_id": "job", "segment_index": 0, "output_s3_uri": "s3://b/k", "completed_at": "t", "total_segments": 1}
INBOX = Inbox("q", "event")


def ids(count: int) -> list[str]:
    return [f"{number:05}" for number in range(count)]


def done(
    count: int, *, stage: str = "frames", result: dict[str, object] | None = None, body: str = "", **work: object
) -> Work:
    events = [Message("event", "job", "topic", body)] if body else []
    outcomes = [AssetOutcome(asset_id, result=result, events=events) for asset_id in ids(count)]
    return Work(stages=[STAGES.outcomes("job", stage, outcomes)], **work)  # type: ignore[arg-type]


def assets_in(parts: list[Work]) -> list[list[str]]:
    return [[outcome.asset_id for update in part.stages for outcome in update.outcomes] for part in parts]


class TestParts:
    @pytest.mark.parametrize(
        "work",
        [
            Work(),
            done(ASSETS_MAX),
            done(3, inbox=INBOX, events=[VideoSubmitted(job_id="job")]),
            Work(events=[VideoSubmitted(job_id=f"{number}") for number in range(10)], inbox=INBOX),
            Work(events=[Message(f"{number}", "job", "topic", "{}") for number in range(10_000)], inbox=INBOX),
        ],
    )
    def test_what_fits_stays_whole(self, work: Work) -> None:
        (part,) = parts_of(work)
        assert part is work

    def test_assets_in_their_order_each_once(self) -> None:
        parts = parts_of(done(1_000, at_ms=7))
        assert [asset_id for some in assets_in(parts) for asset_id in some] == ids(1_000)
        assert max(map(len, assets_in(parts))) == ASSETS_MAX
        assert {part.at_ms for part in parts} == {7}

    def test_a_segment_takes_the_place_of_two(self) -> None:
        parts = parts_of(done(200, stage="segments", result=SEGMENT))
        assert max(map(len, assets_in(parts))) == ASSETS_MAX // 2

    def test_large_events_take_more_parts(self) -> None:
        parts = parts_of(done(10, body="x" * (BYTES_MAX // 4)))
        assert len(parts) > 3
        assert [asset_id for some in assets_in(parts) for asset_id in some] == ids(10)

    def test_all_else_comes_with_the_last_part_and_never_before_what_it_consumes(self) -> None:
        whole = done(200, inbox=INBOX, events=[VideoSubmitted(job_id="job")])
        update = replace(whole.stages[0], expected=200, expire=True)
        *first, last = parts_of(replace(whole, stages=[update]))
        assert (last.inbox, len(last.events), last.stages[0].expected, last.stages[0].expire) == (INBOX, 1, 200, True)
        for part in first:
            assert (part.inbox, part.unless_consumed, part.events) == (None, INBOX, ())
            assert (part.stages[0].expected, part.stages[0].expire) == (None, False)

    def test_messages_are_consumed_after_their_assets(self) -> None:
        """As a worker records a group of five hundred messages with an asset each."""
        pairs = [Inbox("q", asset_id) for asset_id in ids(500)]
        parts = parts_of(done(500, consumed=pairs))
        assert [pair for part in parts for pair in part.consumed] == pairs
        first = next(number for number, part in enumerate(parts) if part.consumed)
        assert not any(part.stages for part in parts[first:])

    def test_a_letter_comes_with_no_more_than_what_waits_for_it(self) -> None:
        letter = NewDeadLetter(job_id="job", queue="q", topic="t", event_id="e", body="{}", error="torn", attempts=5)
        outcomes = [AssetOutcome(asset_id, AssetState.FAILED) for asset_id in ids(300)]
        work = Work(stages=[STAGES.outcomes("job", "frames", outcomes)], dead_letters=[letter], unless_consumed=INBOX)
        parts = parts_of(work)
        assert [part.dead_letters for part in parts if part.dead_letters] == [[letter]]
        assert {part.unless_consumed for part in parts} == {INBOX}

    @pytest.mark.parametrize(
        "work",
        [
            done(200, new_job=NewJob(job_id="job", pipeline="p", input_path="i")),
            done(200, replay=7),
            done(200, moves=[JobMove(job_id="job", allowed=frozenset({JobStatus.PENDING}), to=JobStatus.RUNNING)]),
        ],
    )
    def test_what_may_be_refused_is_not_cut(self, work: Work) -> None:
        with pytest.raises(InvalidWork, match=f"{ASSETS_MAX}"):
            parts_of(work)


class TestTogether:
    def test_as_many_as_fit(self) -> None:
        works = [Work(stages=[STAGES.outcomes("job", "frames", [AssetOutcome(asset_id)])]) for asset_id in ids(200)]
        groups = list(together(works))
        assert [work for group in groups for work in group] == works
        assert [len(group) for group in groups[:-1]] == [ITEMS_MAX - 3] * (len(groups) - 1)  # stage, job, outbox

    def test_with_a_message_each_they_are_half_as_many(self) -> None:
        works = [
            Work(stages=[STAGES.outcomes("job", "frames", [AssetOutcome(id_)])], consumed=[Inbox("q", id_)])
            for id_ in ids(200)
        ]
        assert len(next(together(works))) == (ITEMS_MAX - 3) // 2

    def test_few_events_that_come_with_no_asset(self) -> None:
        works = [Work(events=[VideoSubmitted(job_id=asset_id)]) for asset_id in ids(25)]
        assert [len(group) for group in together(works)] == [LOOSE_EVENTS_MAX, LOOSE_EVENTS_MAX, 5]

    def test_what_reaches_far_is_alone(self) -> None:
        cancel = Work(moves=[JobMove(job_id="job", allowed=frozenset(JobStatus), to=JobStatus.CANCELLED)])
        one = done(1)
        assert list(together([one, cancel, one, one])) == [[one], [cancel], [one, one]]


@pytest.mark.parametrize("signs", [(0x20, 0x7E), (0x4E00, 0x9FFF), (0x10000, 0x1FFFF)])
def test_events_in_any_script_share_items_only_as_far_as_they_fit(signs: tuple[int, int]) -> None:
    random = Random(0)
    bodies = ["".join(chr(random.randint(*signs)) for _ in range(700)) for _ in range(600)]
    events = [Message(f"{number}", "job", "topic", body) for number, body in enumerate(bodies)]
    items = [{**packed(1 << 24, some, 0), "sk": f"{1 << 24}"} for some in chunks(events)]
    assert all(len(item["events"]) <= PACKED_BYTES_MAX for item in items)  # type: ignore[arg-type]
    assert [row.body for item in items for row in rows(item)] == bodies  # type: ignore[arg-type]
