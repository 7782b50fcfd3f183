"""What a careless or hostile publisher may put into a queue: it ends as a dead letter that holds it whole, and harms
no neighbour.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from reelwork.ledger import AssetState, JobStatus, Work
from tests.conformance.ledger.stores import Store
from tests.house import run
from tests.scenarios.vision import EMBEDDING_BATCH, EMBEDDING_FRAMES, EMBEDDINGS, Vision, vision

BATCH, FRAMES = "videos.keyframes.ready.batch", "videos.keyframes.ready"
QUEUES = (EMBEDDING_BATCH, EMBEDDING_FRAMES)


@dataclass(frozen=True)
class Raw:
    """A message as nobody's class would make it."""

    job_id: str
    topic: str
    text: str
    identity: UUID

    def body(self) -> str:
        return self.text


def send(it: Vision, topic: str, job_id: str | None = None, **fields: Any) -> str:
    """Publishes the fields as they are; returns the body."""
    job_id, event_id = job_id or it.job_id, uuid4()
    body = json.dumps({"job_id": job_id, "event_id": str(event_id), **fields})
    it.house.commit(Work(events=[Raw(job_id, topic, body, event_id)]))
    return body


def frame(frame_id: object) -> dict[str, object]:
    return {"frame_id": frame_id, "ts": 0.0, "key": "frames/1"}


async def dead_letters(it: Vision) -> list[str]:
    """Works at the queues of one service until nothing is left; the bodies of its dead letters."""
    for _ in range(8):
        await it.house.settle(*QUEUES)
        it.house.clock.advance(60)
    return [letter.body for letter in it.house.letters()]


@pytest.mark.parametrize("total", [-1, 1.5, "many", "3", None, 10**40, True, [3]])
def test_a_batch_with_a_total_that_is_none_fails_its_job_and_is_kept(
    store: Store, tmp_path: Path, total: object
) -> None:
    async def test() -> None:
        async with vision(store, tmp_path) as it:
            body = send(it, BATCH, total_frames=total)
            assert await dead_letters(it) == [body]
            job = it.house.job(it.job_id)
            assert job.status is JobStatus.FAILED
            assert job.error_message
            assert it.none_yet()

    run(test())


@pytest.mark.parametrize("frame_id", ["x" * 10_000, "", "a\0b"])
def test_a_frame_with_an_id_that_is_none_is_kept_and_its_neighbours_are_done(
    store: Store, tmp_path: Path, frame_id: str
) -> None:
    """No ledger can count it: the message fails its job, whole; those of other messages are counted."""

    async def test() -> None:
        async with vision(store, tmp_path) as it:
            send(it, FRAMES, video_id="video", frames=[frame("good")])
            body = send(it, FRAMES, video_id="video", frames=[frame("neighbour"), frame(frame_id)])
            assert await dead_letters(it) == [body]
            assert it.house.job(it.job_id).status is JobStatus.FAILED
            assets = {a.asset_id: a.state for a in it.house.backends.ledger.assets(it.job_id, EMBEDDINGS)}
            assert assets["good"] is AssetState.DONE
            assert assets.keys() <= {"good", "neighbour"}

    run(test())


def test_frames_of_any_script_are_counted_each_once(store: Store, tmp_path: Path) -> None:
    ids = ["é", "e\u0301", "😀", "👨‍👩‍👧", "\u202eאב", "أب", "it's", '"', "\\", " ", "x" * 256]

    async def test() -> None:
        async with vision(store, tmp_path) as it:
            it.batch(len(ids))
            send(it, FRAMES, video_id="video", frames=[frame(name) for name in [*ids, *ids]])
            send(it, FRAMES, video_id="video", frames=[frame(name) for name in reversed(ids)])
            assert await dead_letters(it) == []
            assert it.one() == (len(ids), len(ids), 0, False, "all")

    run(test())


def test_a_message_of_a_job_that_does_not_exist_is_kept(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path) as it:
            body = send(it, FRAMES, "ghost", video_id="video", frames=[frame("a")])
            it.batch(1)
            it.send(["good"])
            assert await dead_letters(it) == [body]
            assert it.one() == (1, 1, 0, False, "all")
            assert it.house.job(it.job_id).status is JobStatus.RUNNING

    run(test())


def test_a_message_that_is_no_json_is_kept(store: Store, tmp_path: Path) -> None:
    async def test() -> None:
        async with vision(store, tmp_path) as it:
            it.house.commit(Work(events=[Raw(it.job_id, FRAMES, "{frames", uuid4())]))
            assert await dead_letters(it) == ["{frames"]
            assert it.house.job(it.job_id).status is JobStatus.FAILED

    run(test())
