"""The stereo pipeline on exactly what the CloudFormation template makes: its tasks as processes, on an emulator of AWS.

Notifications come from the bucket, messages go through SQS, and DynamoDB says what is done: whoever is killed, whatever
comes twice, late or not at all, a video is joined once, and is the one that a single machine makes.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from reelwork.events import SegmentUploaded
from reelwork.ledger import JobStatus, Ledger, open_ledger
from reelwork.media import cut_segments, plan_cuts
from reelwork.objects.keys import final_key, segment_key
from tests.clips import write_clip
from tests.e2e.commands import Running, reelwork, start
from tests.installation import TOKEN, Installation
from tests.moto import shared_server
from tests.proxy import Link, proxy

LEASE_SECONDS: Final = 2
REPUBLISH_SECONDS: Final = 4
GIVEN_UP_AFTER: Final = 100
WAIT_SECONDS_MAX: Final = 90.0
POLL_SECONDS: Final = 0.02
LEDGER_SECONDS: Final = 0.2
"""Each way, so that segments are seen before the chunking-worker can write down that it put them there."""
TRIED_SECONDS: Final = 1.0
"""A segment that was taken has been converted by then, and there is nowhere to put it."""
SECONDS: Final = 0.3
SEGMENTS: Final = 6
QUICK: Final = {
    "REELWORK_LEASE_SECONDS": str(LEASE_SECONDS),
    "REELWORK_SWEEP_SECONDS": "1",
    "REELWORK_REPUBLISH_AFTER_SECONDS": str(REPUBLISH_SECONDS),
    "REELWORK_DRAIN_SECONDS": "1",
    "REELWORK_LOG_LEVEL": "error",
}
CLIENT: Final = {"REELWORK_API_TOKEN": TOKEN}
ONCE: Final = {"segments.completed": 1, "reassembly.completed": 1, "job.completed": 1}
NO_SEGMENTS: Final = (
    "segments/notes.txt",
    "segments/a/00001_00001_sbs.mp4",
    "segments/a/00000_00000_sbs.mp4",
    "segments/a/000000_00001_sbs.mp4",
    "segments/a%2F00000_00001_sbs.mp4",
    "segments/a/0000\u0660_00001_sbs.mp4",
)
ONLY_TOLD: Final = (
    ("Created:Put", "a/../00000_00001_sbs.mp4"),
    ("Created:Put", "a/00000_00001_sbs.mp4%0A"),
    ("Removed:Delete", "a/00000_00001_sbs.mp4"),
)
"""Of keys that the emulator does not take, and of what is no new segment."""


@dataclass(frozen=True)
class Fleet:
    """Of a video-worker there are two. link: the chunking-worker's way to the ledger."""

    at: Installation
    ledger: Ledger
    api: Running
    chunking: Running
    video: tuple[Running, Running]
    media: Running
    link: Link

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = httpx.request(method, f"{self.api.told['url']}{path}", headers=headers, timeout=60, **given)
        assert answer.is_success, answer.text
        return answer

    def submit(self, clip: Path) -> str:
        form = {"pipeline": "stereo", "segment_seconds": str(SECONDS)}
        with clip.open("rb") as file:
            submitted = self.ask("POST", "/video/submit", data=form, files={"file": file})
        job_id: str = submitted.json()["job_id"]
        return job_id

    def status(self, job_id: str) -> JobStatus | None:
        job = self.ledger.find_jobs([job_id]).get(job_id)
        return None if job is None else job.status

    def is_busy(self, spelt: str) -> bool:
        """Whether somebody has a message of the queue in hand."""
        return self.at.depth(spelt)[1] > 0

    def is_cut(self, job_id: str) -> bool:
        return bool(self.at.keys(self.at.input_bucket, f"segments/{job_id}/"))

    def is_joined(self, job_id: str) -> bool:
        return bool(self.at.keys(self.at.output_bucket, final_key(job_id)))

    def converted(self, job_id: str) -> int:
        return len(self.at.segment_completions(job_id))

    def replay(self, *which: str) -> None:
        address = ["--url", self.api.told["url"], "--json"]
        replayed = reelwork("dead-letters", "replay", *which, "--yes", *address, environment=CLIENT)
        assert replayed.status == 0, replayed

    def video_of(self, job_id: str) -> bytes:
        """As the API gives it."""
        (listed,) = self.ask("GET", f"/jobs/{job_id}/artifacts").json()["artifacts"]
        return self.ask("GET", listed["url"]).content


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(POLL_SECONDS)


def worker_of(node: Running) -> Any:
    """Its worker process, which may just be started anew."""
    wait_for(node.workers, "a worker process")
    return node.workers()[0]


def completed(fleet: Fleet, job_id: str) -> None:
    """A failed job stays so until its replayed messages have filled the gap."""
    wait_for(lambda: fleet.status(job_id) is JobStatus.COMPLETED, f"the end of {job_id}")


def joined_once(fleet: Fleet, job_id: str, *, segments: int) -> None:
    topics = Counter(row.topic for row in fleet.ledger.outbox(job_id) if not row.is_replay)
    assert {topic: topics[topic] for topic in ONCE} == ONCE
    assert {stage.stage: (stage.done, stage.failed, stage.late) for stage in fleet.ledger.stage_status(job_id)} == {
        "segments": (segments, 0, 0),
        "reassembly": (1, 0, 0),
    }
    records = sorted(fleet.at.segment_completions(job_id), key=lambda record: int(record["segment_index"]))
    assert [(int(r["segment_index"]), int(r["total_segments"]), r["output_s3_uri"]) for r in records] == [
        (index, segments, f"s3://{fleet.at.output_bucket}/jobs/{job_id}/segments/{index}.mp4")
        for index in range(segments)
    ]


def segments_of(clip: Path) -> list[bytes]:
    return [data for _, data in cut_segments(clip, plan_cuts(clip, target_seconds=SECONDS))]


def put_segment(at: Installation, job_id: str, index: int, total: int, data: bytes) -> str:
    key = segment_key(job_id, index, total, "sbs")
    at.s3.put_object(Bucket=at.input_bucket, Key=key, Body=data)
    return key


@contextmanager
def fleet_on(at: Installation, folder: Path) -> Iterator[Fleet]:
    """Every task of the template, by its own command and variables, with clocks that do not keep a test waiting."""
    with ExitStack() as opened:
        link = opened.enter_context(proxy()).link(at.server.port)
        led = at.database_url.replace(f":{at.server.port}", f":{link.port}")
        starting = []
        services = ("api", "chunking-worker", "video-worker", "video-worker", "media-worker")
        for service in services:
            task = at.task(service)
            environment = {**task.environment, **QUICK, "TMPDIR": str(folder)}
            if service == "chunking-worker":
                environment["REELWORK_DATABASE_URL"] = led
            own = ["--port", "0"] if service == "api" else ["--concurrency", "1"]
            process = opened.enter_context(start(*task.command, *own, "--json", environment=environment, stderr=None))
            opened.callback(process.kill)
            starting.append(process)
        nodes = [Running(process, json.loads(process.stdout.readline())) for process in starting if process.stdout]
        ledger = opened.enter_context(closing(open_ledger(at.database_url)))
        yield Fleet(at, ledger, nodes[0], nodes[1], (nodes[2], nodes[3]), nodes[4], link)


def test_the_pipeline_runs_on_what_the_template_made(tmp_path: Path, monkeypatch: Any) -> None:
    for name, value in shared_server().environment.items():
        monkeypatch.setenv(name, value)
    shared_server().run()
    at = Installation.deployed(shared_server())
    clip = write_clip(tmp_path / "clip.mp4", frames=10 * SEGMENTS, bframes=2, audio=True)
    segments = segments_of(clip)

    put_segment(at, "given-up", 0, 1, segments[0])
    assert at.depth("video_worker-segments") == (2, 0), "the bucket has told of itself and of the segment"
    have_sqs_give_up_on_the_segment(at)
    put_segment(at, "gone", 0, 2, segments[0])
    at.s3.delete_object(Bucket=at.input_bucket, Key=put_segment(at, "gone", 1, 2, segments[1]))
    for key in NO_SEGMENTS:
        at.s3.put_object(Bucket=at.input_bucket, Key=key, Body=b"anything")
    for event, key in ONLY_TOLD:
        stored = {"key": f"segments/{key}", "size": 1, "sequencer": "01"}
        record = {"eventName": f"Object{event}", "s3": {"bucket": {"name": at.input_bucket}, "object": stored}}
        body = json.dumps({"Records": [record, record]})
        at.sqs.send_message(QueueUrl=at.queue_url("video_worker-segments"), MessageBody=body)
    at.sqs.send_message(QueueUrl=at.queue_url("video_worker-segments"), MessageBody='{"Records": []}')

    made = tmp_path / "3d.mp4"
    command = ["stereo", clip, "--model", "shift", "--segment-seconds", str(SECONDS), "--workers", "2", "-o", made]
    alone = reelwork(*command, "--json")
    assert alone.status == 0, alone.stderr
    with fleet_on(at, tmp_path) as fleet:
        a_job_outlives_its_workers_and_is_the_same(fleet, clip, expected=made.read_bytes())
        a_completion_does_not_wait_for_the_bookkeeping(fleet, clip, expected=made.read_bytes())
        what_the_bucket_has_not_told_is_sent(fleet, clip, expected=made.read_bytes())
        a_cancelled_job_stays_so(fleet, segments)
        a_broken_segment_fails_its_job_until_it_is_replayed(fleet, segments)
        what_was_given_up_can_be_replayed(fleet, segments)
        an_output_bucket_that_vanishes_costs_time_only(fleet, segments)
        wait_for(lambda: all(at.depth(queue) == (0, 0) for queue in every_queue(at)), "empty queues")
        assert fleet.status("a") is None


def have_sqs_give_up_on_the_segment(at: Installation) -> None:
    """And leaves what the bucket says of itself to the worker."""
    spelt = "video_worker-segments"
    url = at.queue_url(spelt)
    said = at.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600)["Messages"]
    (of_bucket,) = (one for one in said if "s3:TestEvent" in one["Body"])
    (of_segment,) = (one for one in said if one is not of_bucket)
    at.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=of_segment["ReceiptHandle"], VisibilityTimeout=0)
    for _ in range(GIVEN_UP_AFTER):
        at.sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, WaitTimeSeconds=0)
    at.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=of_bucket["ReceiptHandle"], VisibilityTimeout=0)
    assert (at.depth(spelt), at.depth(f"{spelt}-dlq")) == ((1, 0), (1, 0))


def every_queue(at: Installation) -> list[str]:
    urls = at.sqs.list_queues(QueueNamePrefix=f"{at.prefix}-q-")["QueueUrls"]
    return [url.rpartition(f"{at.prefix}-q-")[2] for url in urls]


def a_job_outlives_its_workers_and_is_the_same(fleet: Fleet, clip: Path, *, expected: bytes) -> None:
    """Each worker is killed with a message in hand; one segment is in two hands; all are told of again, last first."""
    at, (first, second) = fleet.at, fleet.video
    wait_for(lambda: fleet.converted("gone") == 1, "what was there before")
    worker_of(fleet.media).suspend()
    worker_of(second).suspend()
    job_id = fleet.submit(clip)
    wait_for(lambda: fleet.is_busy("chunking_worker-jobs") or fleet.is_cut(job_id), "the job to be taken")
    worker_of(fleet.chunking).kill()
    wait_for(lambda: fleet.is_cut(job_id), "the first segment")
    wait_for(lambda: fleet.is_busy("video_worker-segments"), "a segment to be taken")
    worker_of(first).suspend()
    worker_of(second).resume()
    wait_for(lambda: fleet.converted(job_id) >= 2, "the second worker")
    worker_of(second).kill()
    wait_for(lambda: len(at.keys(at.input_bucket, f"segments/{job_id}/")) == SEGMENTS, "the last segment")
    for key in reversed(at.keys(at.input_bucket, f"segments/{job_id}/")):
        told = SegmentUploaded.of(at.input_bucket, key, size=1, sequencer="00").body()
        for _ in range(2):
            at.sqs.send_message(QueueUrl=at.queue_url("video_worker-segments"), MessageBody=told)
    wait_for(lambda: fleet.converted(job_id) == SEGMENTS, "all segments, by the second worker's successor")
    worker_of(first).resume()
    wait_for(lambda: any(at.depth("media_worker-segments-completed")), "the completion to be told")
    worker_of(fleet.media).resume()
    wait_for(lambda: fleet.is_busy("media_worker-segments-completed") or fleet.is_joined(job_id), "it to be taken")
    worker_of(fleet.media).kill()
    completed(fleet, job_id)
    joined_once(fleet, job_id, segments=SEGMENTS)
    assert fleet.ledger.dead_letters(job_id) == []
    assert at.s3.get_object(Bucket=at.output_bucket, Key=final_key(job_id))["Body"].read() == expected
    assert fleet.video_of(job_id) == expected


def a_completion_does_not_wait_for_the_bookkeeping(fleet: Fleet, clip: Path, *, expected: bytes) -> None:
    """The chunking-worker puts all segments there, and cannot write down that it has done so."""
    fleet.link.delay(LEDGER_SECONDS)
    job_id = fleet.submit(clip)
    wait_for(lambda: fleet.is_cut(job_id), "the first segment")
    fleet.link.stall()
    try:
        completed(fleet, job_id)
        joined_once(fleet, job_id, segments=SEGMENTS)
        assert "segment.uploaded" not in {row.topic for row in fleet.ledger.outbox(job_id)}
    finally:
        fleet.link.resume()
    wait_for(lambda: "segment.uploaded" in {row.topic for row in fleet.ledger.outbox(job_id)}, "the bookkeeping")
    joined_once(fleet, job_id, segments=SEGMENTS)
    assert fleet.video_of(job_id) == expected


def what_the_bucket_has_not_told_is_sent(fleet: Fleet, clip: Path, *, expected: bytes) -> None:
    """After REELWORK_REPUBLISH_AFTER_SECONDS."""
    at = fleet.at
    told = at.s3.get_bucket_notification_configuration(Bucket=at.input_bucket)
    at.s3.put_bucket_notification_configuration(Bucket=at.input_bucket, NotificationConfiguration={})
    job_id = fleet.submit(clip)
    wait_for(lambda: "segment.uploaded" in {row.topic for row in fleet.ledger.outbox(job_id)}, "the bookkeeping")
    assert fleet.converted(job_id) == 0
    queues = {name: value for name, value in told.items() if name == "QueueConfigurations"}
    at.s3.put_bucket_notification_configuration(Bucket=at.input_bucket, NotificationConfiguration=queues)
    completed(fleet, job_id)
    joined_once(fleet, job_id, segments=SEGMENTS)
    assert fleet.video_of(job_id) == expected


def a_cancelled_job_stays_so(fleet: Fleet, segments: list[bytes]) -> None:
    at, job_id = fleet.at, "cancelled"
    put_segment(at, job_id, 0, 2, segments[0])
    wait_for(lambda: fleet.converted(job_id) == 1, "its first segment")
    fleet.ask("POST", f"/jobs/{job_id}/cancel")
    put_segment(at, job_id, 1, 2, segments[1])
    wait_for(lambda: at.depth("video_worker-segments") == (0, 0), "its second segment to be dropped")
    assert (fleet.status(job_id), fleet.converted(job_id)) == (JobStatus.CANCELLED, 1)
    assert at.keys(at.output_bucket, f"jobs/{job_id}/segments/1") == []


def mended(fleet: Fleet, job_id: str, index: int, total: int, data: bytes) -> None:
    """The segment is put there once more. What its bucket says of that finds it failed; a replay tries it again."""
    put_segment(fleet.at, job_id, index, total, data)
    wait_for(lambda: len(fleet.ledger.dead_letters(job_id)) == 2, "the bucket's word to be buried")
    wait_for(lambda: fleet.status(job_id) is JobStatus.FAILED, "the job to have failed")
    fleet.replay("--job", job_id)
    completed(fleet, job_id)


def a_broken_segment_fails_its_job_until_it_is_replayed(fleet: Fleet, segments: list[bytes]) -> None:
    at, job_id = fleet.at, "broken"
    for index, data in enumerate([segments[0], b"no video", segments[2]]):
        put_segment(at, job_id, index, 3, data)
    wait_for(lambda: fleet.status(job_id) is JobStatus.FAILED, "the job to fail")
    assert "00001" in (fleet.ledger.job(job_id).error_message or "")
    (letter,) = fleet.ledger.dead_letters(job_id)
    assert (letter.queue, letter.attempts) == ("q.video_worker.segments", 1)
    mended(fleet, job_id, 1, 3, segments[1])
    joined_once(fleet, job_id, segments=3)


def what_was_given_up_can_be_replayed(fleet: Fleet, segments: list[bytes]) -> None:
    """By us after five attempts, and by SQS after a hundred."""
    wait_for(lambda: fleet.ledger.dead_letters("gone"), "the last attempt")
    (letter,) = fleet.ledger.dead_letters("gone")
    assert letter.attempts == 5
    assert "there is no object segments/gone/00001_00002_sbs.mp4" in letter.error
    mended(fleet, "gone", 1, 2, segments[1])
    joined_once(fleet, "gone", segments=2)
    wait_for(lambda: fleet.ledger.dead_letters("given-up"), "what SQS gave up on")
    wait_for(lambda: fleet.at.depth("video_worker-segments-dlq") == (0, 0), "its message to be gone")
    (letter,) = fleet.ledger.dead_letters("given-up")  # of no job, so that it must be named
    fleet.replay(str(letter.dead_letter_id))
    completed(fleet, "given-up")
    joined_once(fleet, "given-up", segments=1)


def an_output_bucket_that_vanishes_costs_time_only(fleet: Fleet, segments: list[bytes]) -> None:
    at, job_id = fleet.at, "vanished"
    for key in at.keys(at.output_bucket, ""):
        at.s3.delete_object(Bucket=at.output_bucket, Key=key)
    at.s3.delete_bucket(Bucket=at.output_bucket)
    for index in range(2):
        put_segment(at, job_id, index, 2, segments[index])
    wait_for(lambda: fleet.is_busy("video_worker-segments"), "a segment to be taken")
    time.sleep(TRIED_SECONDS)
    assert (fleet.converted(job_id), fleet.ledger.dead_letters(job_id)) == (0, [])
    at.s3.create_bucket(Bucket=at.output_bucket)
    completed(fleet, job_id)
    joined_once(fleet, job_id, segments=2)
    assert fleet.ledger.dead_letters(job_id) == []
