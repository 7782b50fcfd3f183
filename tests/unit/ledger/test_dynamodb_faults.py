"""The ledger on DynamoDB when the service answers late, not at all, or no."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError

from reelwork.errors import InvalidWork, StoreUnavailable, StoreUnreachable, WriteConflict
from reelwork.events import VideoSubmitted, stable_event_id
from reelwork.events.segment_completion import SegmentCompletion
from reelwork.ledger import AssetOutcome, Completion, Inbox, JobStatus, NewJob, Work, open_ledger
from reelwork.ledger.dynamodb import store as dynamodb_store
from reelwork.ledger.dynamodb.ledger import FAILED_JOB_LOOK_AGAIN_MS, DynamoLedger
from reelwork.ledger.dynamodb.opening import REQUEST_TRIES_MAX
from reelwork.ledger.dynamodb.store import UNKNOWN_TRIES_MAX
from reelwork.message import Message
from tests.clock import ManualClock
from tests.conformance.ledger.audit import miscounted, untold
from tests.conformance.ledger.stores import (
    STAGES,
    announced,
    dead_letter,
    done,
    failed,
    manager,
    moved,
    running_job,
    status,
    topics,
)
from tests.dynamodb import fresh_tables, items

TRANSACTION = "DynamoDB_20120810.TransactWriteItems"
EVERY_TRY = REQUEST_TRIES_MAX * UNKNOWN_TRIES_MAX
SEGMENT = {
    "job_id": "job",
    "segment_index": 3,
    "output_s3_uri": "s3://out/jobs/job/segments/3.mp4",
    "completed_at": "2026-11-21T12:00:00Z",
    "total_segments": 4,
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ledger(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoLedger]:
    monkeypatch.setattr(dynamodb_store, "PAUSE_SECONDS_MAX", 0.01)
    monkeypatch.setattr(dynamodb_store, "CONFLICT_PAUSE_SECONDS_MAX", 0.01)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with fresh_tables() as url, closing(open_ledger(url, clock=clock)) as ledger:
        assert isinstance(ledger, DynamoLedger)
        yield ledger


class Wire:
    """Between client and server. `tamper` sees every transaction, and may answer in its stead or lose an answer."""

    def __init__(self, ledger: DynamoLedger, tamper: Callable[[int, Callable[[], Any]], Any]) -> None:
        session = ledger.store.client._endpoint.http_session  # type: ignore[attr-defined]
        send = session.send
        self.transactions = 0
        self.requests: list[tuple[str, Any]] = []

        def tampered(request: Any) -> Any:
            target = request.headers["X-Amz-Target"].decode()
            self.requests.append((target.rpartition(".")[2], json.loads(request.body)))
            if target != TRANSACTION:
                return send(request)
            self.transactions += 1
            return tamper(self.transactions, lambda: send(request))

        session.send = tampered


def lose_answers(first: int, last: int) -> Callable[[int, Callable[[], Any]], Any]:
    """The server has done what it was asked, and nobody hears of it."""

    def tamper(number: int, send: Callable[[], Any]) -> Any:
        answer = send()
        if first <= number <= last:
            raise ReadTimeoutError(endpoint_url="http://dynamodb")
        return answer

    return tamper


def refuse(count: int, code: str, *, reasons: list[str] | None = None) -> Callable[[int, Callable[[], Any]], Any]:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no", "Message": "no"}
    told = body | ({"CancellationReasons": [{"Code": each, "Message": each} for each in reasons]} if reasons else {})

    def tamper(number: int, send: Callable[[], Any]) -> Any:
        if number > count:
            return send()
        return _answer(500 if code.startswith("Internal") else 400, told)

    return tamper


def _answer(http_status: int, body: dict[str, Any]) -> AWSResponse:
    content = json.dumps(body).encode()

    class Raw:
        def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
            yield content

    return AWSResponse("http://dynamodb", http_status, {"content-type": "application/x-amz-json-1.0"}, Raw())


class TestUnknownOutcome:
    """A transaction is applied, and its answer is lost."""

    @pytest.mark.parametrize("lost", [1, REQUEST_TRIES_MAX, EVERY_TRY - 1])
    def test_the_completion_comes_back_to_its_caller_all_the_same(self, ledger: DynamoLedger, lost: int) -> None:
        ledger.commit(announced("frames", 1))
        Wire(ledger, lose_answers(1, lost))
        (completion,) = ledger.commit(done("frames", "a", inbox=Inbox("q", "event")))
        assert completion.processed_assets == 1
        assert topics(ledger) == ["frames.completed"]
        assert (status(ledger, "frames").done, miscounted(ledger)) == (1, [])

    def test_when_no_answer_ever_comes_the_caller_hears_that_it_may_be_recorded(self, ledger: DynamoLedger) -> None:
        ledger.commit(announced("frames", 1))
        wire = Wire(ledger, lose_answers(1, EVERY_TRY))
        with pytest.raises(StoreUnreachable, match="may be recorded"):
            ledger.commit(done("frames", "a"))
        assert wire.transactions == EVERY_TRY
        tokens = {body["ClientRequestToken"] for name, body in wire.requests if name == "TransactWriteItems"}
        assert len(tokens) == 1
        assert ledger.commit(done("frames", "a")) == []  # told again: it was recorded
        assert topics(ledger) == ["frames.completed"]

    def test_a_job_is_not_found_to_exist_by_the_one_who_made_it(self, ledger: DynamoLedger) -> None:
        Wire(ledger, lose_answers(1, 3))
        assert (
            ledger.commit(Work(new_job=NewJob(job_id="job", pipeline="p", input_path="i", idempotency_key="k"))) == []
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("code", "reasons"),
        [
            ("TransactionCanceledException", ["None", "TransactionConflict"]),
            ("TransactionCanceledException", ["ConditionalCheckFailed", "None"]),
            ("TransactionCanceledException", ["ThrottlingError", "None"]),
            ("TransactionCanceledException", ["ProvisionedThroughputExceeded", "TransactionConflict"]),
            ("ThrottlingException", None),
            ("ProvisionedThroughputExceededException", None),
            ("InternalServerError", None),
            ("TransactionInProgressException", None),
        ],
    )
    def test_what_passes_is_tried_again(self, ledger: DynamoLedger, code: str, reasons: list[str] | None) -> None:
        ledger.commit(announced("frames", 1))
        Wire(ledger, refuse(3, code, reasons=reasons))
        assert len(ledger.commit(done("frames", "a"))) == 1
        assert topics(ledger) == ["frames.completed"]

    def test_what_does_not_pass_is_told_after_a_limit(self, ledger: DynamoLedger, monkeypatch: Any) -> None:
        monkeypatch.setattr(dynamodb_store, "CONFLICT_TRIES_MAX", 5)
        wire = Wire(ledger, refuse(10**6, "TransactionCanceledException", reasons=["TransactionConflict"]))
        first, second = ledger.commit_all([done("frames", "a"), done("frames", "b")])
        assert isinstance(first, WriteConflict)
        assert isinstance(second, WriteConflict)
        assert wire.transactions == 5

    def test_a_lost_race_is_decided_anew(self, ledger: DynamoLedger) -> None:
        """Between the reading and the writing of one, another one records the other half."""
        ledger.commit(announced("frames", 2))
        with closing(open_ledger(_url_of(ledger), clock=ledger.clock)) as other:

            def overtaken(number: int, send: Callable[[], Any]) -> Any:
                if number == 1:
                    assert other.commit(done("frames", "b")) == []
                return send()

            Wire(ledger, overtaken)
            (completion,) = ledger.commit(done("frames", "a"))
        assert completion.processed_assets == 2
        assert (status(ledger, "frames").done, topics(ledger)) == (2, ["frames.completed"])

    def test_an_asset_that_another_one_records_meanwhile_counts_once(self, ledger: DynamoLedger) -> None:
        ledger.commit(announced("frames", 2))
        with closing(open_ledger(_url_of(ledger), clock=ledger.clock)) as other:

            def overtaken(number: int, send: Callable[[], Any]) -> Any:
                if number == 1:
                    other.commit(done("frames", "a", "b"))
                return send()

            Wire(ledger, overtaken)
            assert ledger.commit(done("frames", "a")) == []
        assert (status(ledger, "frames").done, len(topics(ledger)), miscounted(ledger)) == (2, 1, [])

    def test_a_message_is_not_given_up_that_a_copy_consumes_meanwhile(self, ledger: DynamoLedger) -> None:
        running_job(ledger)
        given_up = Work(
            moves=moved(JobStatus.FAILED).moves,
            dead_letters=[dead_letter("a")],
            unless_consumed=Inbox("q.frames", "event-a"),
        )
        with closing(open_ledger(_url_of(ledger), clock=ledger.clock)) as other:

            def overtaken(number: int, send: Callable[[], Any]) -> Any:
                if number == 1:
                    other.commit(Work(inbox=Inbox("q.frames", "event-a")))
                return send()

            Wire(ledger, overtaken)
            assert ledger.commit(given_up) == []
        assert (ledger.job("job").status, ledger.dead_letters()) == (JobStatus.RUNNING, [])


class TestAllOfIt:
    def test_writers_whose_requests_and_answers_are_lost_at_random_count_exactly(self, ledger: DynamoLedger) -> None:
        """Three of them record the same assets; a twentieth of all requests and a tenth of all answers is lost."""
        ids = [f"{number:03}" for number in range(60)]
        ledger.commit(announced("frames", len(ids)))
        errors: list[StoreUnavailable] = []

        def run(seed: int) -> list[Completion]:
            random, fired = Random(seed), []
            with closing(open_ledger(_url_of(ledger), clock=ledger.clock)) as writer:
                _lose_at_random(writer, random)
                mine = random.sample(ids, len(ids))
                for first in range(0, len(mine), 7):
                    fired += _commit_at_last(writer, done("frames", *mine[first : first + 7]), errors)
            return fired

        with ThreadPoolExecutor(3) as threads:
            fired = [completion for given in threads.map(run, range(3)) for completion in given]
        assert (status(ledger, "frames").done, miscounted(ledger), untold(ledger)) == (len(ids), [], [])
        assert topics(ledger) == ["frames.completed"]
        assert len(fired) == 1 or any("may be recorded" in str(error) for error in errors)


class TestTooLarge:
    def test_parameters_of_a_job(self, ledger: DynamoLedger) -> None:
        noise = {"noise": os.urandom(600_000).hex()}
        with pytest.raises(InvalidWork, match="object store"):
            ledger.commit(Work(new_job=NewJob(job_id="job", pipeline="p", input_path="i", parameters=noise)))
        assert ledger.jobs() == []

    def test_an_event(self, ledger: DynamoLedger) -> None:
        event = Message(str(stable_event_id("e")), "job", "topic", json.dumps(os.urandom(500_000).hex()))
        with pytest.raises(InvalidWork, match="topic"):
            ledger.commit(done("frames", "a", events=[event]))
        assert ledger.stage_status("job") == []

    def test_ten_thousand_ranges_in_one_work(self, ledger: DynamoLedger) -> None:
        """As a planner announces them: one transaction, in their order, once."""
        running_job(ledger)
        events = [
            Message(str(stable_event_id(f"range {n}")), "job", "video.range.ready", json.dumps({"range": n}))
            for n in range(10_000)
        ]
        work = announced("ranges", 10_000, events=events, inbox=Inbox("q", "submitted"))
        wire = Wire(ledger, lambda _, send: send())
        ledger.commit(work)
        assert wire.transactions == 1
        ledger.commit(replace(work, inbox=Inbox("q", "another")))
        assert [row.event_id for row in ledger.outbox("job")] == [event.event_id for event in events]
        first = ledger.unpublished(limit=600)
        assert [row.event_id for row in first] == [event.event_id for event in events[:600]]
        ledger.mark_published([row.sequence for row in first], look_again_at={row.sequence: 1 for row in first})
        assert ledger.unpublished(limit=1)[0].event_id == events[600].event_id
        census = ledger.census()
        assert (census.unpublished, census.unconsumed) == (9_400, 600)


class TestSegments:
    def test_a_record_is_written_with_its_asset_or_not_at_all(self, ledger: DynamoLedger) -> None:
        outcome = AssetOutcome("3", result=SEGMENT | {"frames": 7, "bytes": 9})
        update = STAGES.outcomes("job", "segments", [outcome])
        with pytest.raises(Exception, match="nobody"):
            ledger.commit(Work(stages=[update], moves=moved(JobStatus.COMPLETED, job_id="nobody").moves))
        assert ledger.segment_completions.of_job("job") == []
        ledger.commit(Work(stages=[update]))
        assert ledger.segment_completions.of_job("job") == [SegmentCompletion.model_validate(SEGMENT)]
        assert ledger.segment_completions.get("job", 3) == SegmentCompletion.model_validate(SEGMENT)
        assert ledger.segment_completions.get("job", 2) is None
        raw = ledger.store.client.scan(TableName=_completions(ledger))["Items"]
        ninety_days_seconds = 90 * 86_400
        assert [int(item["expires_at"]["N"]) for item in raw] == [ledger.now_ms() // 1000 + ninety_days_seconds]

    def test_the_store_by_itself(self, ledger: DynamoLedger) -> None:
        for index in (2, 10, 1):
            ledger.segment_completions.put(SegmentCompletion.model_validate(SEGMENT | {"segment_index": index}))
        assert [found.segment_index for found in ledger.segment_completions.of_job("job")] == [1, 2, 10]


class TestCost:
    """What a commit asks of DynamoDB."""

    def test_does_not_grow_with_the_stage(self, ledger: DynamoLedger) -> None:
        ledger.commit(announced("frames", 100_000))
        asked = []
        for number in (1, 900):
            ledger.commit(done("frames", *(f"{number}-{each:04}" for each in range(number))))
            wire = Wire(ledger, lambda _, send: send())
            ledger.commit(done("frames", f"last-{number}"))
            asked.append([(name, len(json.dumps(body))) for name, body in wire.requests])
        few, many = asked
        assert [name for name, _ in few] == [name for name, _ in many] == ["BatchGetItem", "TransactWriteItems"]
        digits = 16
        assert all(abs(size - other) <= digits for (_, size), (_, other) in zip(few, many, strict=True))

    def test_news_leave_the_index_of_watermarks_alone(self, ledger: DynamoLedger, clock: ManualClock) -> None:
        """It is put right when its time comes, and a watermark is never late by it."""
        ledger.commit(announced("frames", 9))
        born = _agenda_key(ledger)
        clock.advance(800)
        ledger.commit(done("frames", "a"))
        assert _agenda_key(ledger) == born
        clock.advance(100)
        assert ledger.due_stages() == []
        assert int(_agenda_key(ledger)) == status(ledger, "frames").watermark_at
        clock.advance(800)
        assert [fired.reason for fired in manager(ledger).expire_watermarks()] == ["watermark"]

    def test_stages_of_failed_jobs_are_looked_at_now_and_then(self, ledger: DynamoLedger, clock: ManualClock) -> None:
        running_job(ledger)
        ledger.commit(announced("segments", 2))
        ledger.commit(Work(moves=moved(JobStatus.FAILED).moves, dead_letters=[dead_letter()]))
        clock.advance(1_000)
        assert ledger.due_stages() == []
        assert int(_agenda_key(ledger)) == clock.now_ms + FAILED_JOB_LOOK_AGAIN_MS
        ledger.commit(Work(replay=ledger.dead_letters()[0].dead_letter_id))
        assert [stage.stage for stage in ledger.due_stages()] == ["segments"]

    def test_events_of_a_cancelled_job_are_looked_at_once(self, ledger: DynamoLedger) -> None:
        running_job(ledger)
        ledger.commit(Work(events=[VideoSubmitted(job_id="job")]))
        (row,) = ledger.unpublished()
        ledger.mark_published([row.sequence], look_again_at={row.sequence: 1})
        ledger.commit(moved(JobStatus.CANCELLED))
        assert ledger.unfinished(published_before_ms=10**13) == []
        wire = Wire(ledger, lambda _, send: send())
        assert ledger.unfinished(published_before_ms=10**13) == []
        assert {name for name, _ in wire.requests} == {"Query"}


class TestManyAtOnce:
    def test_a_failure_told_of_many_assets_names_them(self, ledger: DynamoLedger) -> None:
        running_job(ledger)
        ledger.commit(announced("segments", 300))
        ledger.commit(failed("segments", *(f"{number:03}" for number in range(300)), error="torn"))
        assert "000 (torn)" in (ledger.job("job").error_message or "")
        assert "280 more that failed" in (ledger.job("job").error_message or "")

    def test_a_store_that_is_away_is_said_so_for_every_work(self, ledger: DynamoLedger) -> None:
        def cut(_number: int, _send: Callable[[], Any]) -> Any:
            raise ReadTimeoutError(endpoint_url="http://dynamodb")

        Wire(ledger, cut)
        results = ledger.commit_all([done("frames", *(f"{n}-{each}" for each in range(70))) for n in range(4)])
        assert all(isinstance(result, StoreUnavailable) for result in results)


def _lose_at_random(ledger: Any, random: Random) -> None:
    session = ledger.store.client._endpoint.http_session
    send = session.send

    def careless(request: Any) -> Any:
        chance = random.random()
        answer = None if chance < 0.05 else send(request)
        if answer is None or chance < 0.15:
            raise ReadTimeoutError(endpoint_url="http://dynamodb")
        return answer

    session.send = careless


def _commit_at_last(ledger: Any, work: Work, errors: list[StoreUnavailable]) -> list[Completion]:
    for _ in range(20):
        try:
            return list(ledger.commit(work))
        except StoreUnavailable as error:
            errors.append(error)
    raise AssertionError("twenty times in a row")


def _agenda_key(ledger: DynamoLedger) -> str:
    (stage,) = [item for item in items(ledger) if item["sk"].startswith("stage#")]
    return str(stage["agenda_key"])


def _url_of(ledger: DynamoLedger) -> str:
    meta = ledger.store.client.meta
    return f"dynamodb://{ledger.store.table.removesuffix('-ledger')}?region={meta.region_name}&endpoint={meta.endpoint_url}"


def _completions(ledger: DynamoLedger) -> str:
    return ledger.store.table.removesuffix("-ledger") + "-segment-completions"


def test_a_message_that_is_larger_than_an_item_is_buried_with_as_much_as_fits(ledger: DynamoLedger) -> None:
    """SQS carries a megabyte, of whatever somebody puts there."""
    random = Random(0)
    body = "".join(chr(random.randint(0x4E00, 0x9FFF)) for _ in range(349_000))
    ledger.commit(Work(dead_letters=[replace(dead_letter(), body=body)]))
    (letter,) = ledger.dead_letters()
    assert letter.body
    assert body.startswith(letter.body)
    assert letter.error.startswith("of 349000 characters 64000 are kept")
    assert letter.error.endswith("unreadable")
    ledger.commit(Work(replay=letter.dead_letter_id))
    (row,) = ledger.outbox("job")
    assert row.body == letter.body


def test_assets_that_emit_many_events_each_are_recorded(ledger: DynamoLedger) -> None:
    running_job(ledger)
    outcomes = [
        AssetOutcome(
            f"{number:02}", events=[Message(f"{number}-{event}", "job", "topic", "{}") for event in range(400)]
        )
        for number in range(60)
    ]
    ledger.commit(Work(stages=[STAGES.outcomes("job", "frames", outcomes)]))
    sent = [row.event_id for row in ledger.outbox("job") if row.topic == "topic"]
    assert sorted(sent) == sorted(f"{number}-{event}" for number in range(60) for event in range(400))
