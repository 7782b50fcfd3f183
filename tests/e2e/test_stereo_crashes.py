"""Each stereo worker killed with `kill -9` in the middle of its work: one completion of each stage, and the same bytes.

Places in the services ring the test up, so that each kill hits a process right there, and nothing sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from reelwork.ledger import JobStatus, Ledger, open_ledger
from reelwork.message import Message
from reelwork.objects.keys import final_key
from reelwork.runtime.backends import open_backends
from reelwork.settings import Config
from tests.clips import write_clip
from tests.e2e.commands import Running, running
from tests.e2e.test_crashes import wait_until_over
from tests.switchboard import ADDRESS, REPOSITORY, Call, Switchboard, listening

SEGMENTS = 3
COMPLETIONS = ("segments.completed", "reassembly.completed", "job.completed")
BELLS = """
import os
from reelwork.pipelines.stereo import chunking_worker, media_worker, video_worker
from tests.switchboard import ADDRESS, pipeline_here, ring

def belled(module, name, word):
    inner = getattr(module, name)
    def outer(*args, **kwargs):
        made = inner(*args, **kwargs)
        ring(word(*args))
        return made
    setattr(module, name, outer)

def each_cut(*args):
    for index, data in cut_segments(*args):
        ring(f"cut {index}")
        yield index, data

if ADDRESS in os.environ:
    belled(chunking_worker, "plan_cuts", lambda *_: "planned")
    cut_segments, chunking_worker.cut_segments = chunking_worker.cut_segments, each_cut
    belled(video_worker, "stage_output_key", lambda job, stage, index, attempt: f"converted {index}")
    belled(video_worker, "SegmentCompletion", lambda **_: "stored")
    belled(media_worker, "join_segments", lambda *_: "joined")
    belled(media_worker, "final_key", lambda *_: "final")

pipeline = pipeline_here()
"""


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switchboard]:
    (tmp_path / "bells.py").write_text(BELLS)
    metadata = tmp_path / "bells-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bells\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[reelwork.pipelines]\nbells = bells:pipeline\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{REPOSITORY}")
    with listening(tmp_path / "line") as board:
        yield board


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    return {ADDRESS: str(tmp_path / "line"), "REELWORK_DRAIN_SECONDS": "2"}


def submit(server: Running, clip: Path) -> str:
    form = {"pipeline": "stereo", "model": "shift", "segment_seconds": "0.3"}
    with clip.open("rb") as file:
        answer = httpx.post(f"{server.told['url']}/video/submit", data=form, files={"file": file}, timeout=30)
    job_id: str = answer.raise_for_status().json()["job_id"]
    return job_id


class Killer:
    """Lets workers go on until they come to a place, and kills them there."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board
        self.killed: list[str] = []

    def at(self, place: str, *, times: int = 1) -> Call:
        """The call from there, the `times`th; all others are answered. It is still to be answered, or killed."""
        while True:
            call = self._board.next_call()
            if call.name.startswith(place):
                times -= 1
                if not times:
                    return call
            call.answer()

    def kill_at(self, place: str, *, times: int = 1) -> None:
        call = self.at(place, times=times)
        os.kill(call.pid, signal.SIGKILL)
        call.line.close()
        self.killed.append(place)


def go_on(board: Switchboard) -> None:
    def answer() -> None:
        for call in board:
            with contextlib.suppress(OSError):
                call.answer()

    threading.Thread(target=answer, daemon=True).start()


def tell_again(folder: Path, ledger: Ledger, job_id: str, topic: str, queue: str) -> None:
    """Puts a message that was sent into its queue once more, as an engine does that delivers twice."""

    async def publish() -> None:
        backends = await open_backends(Config(REELWORK_DATA_DIR=folder))
        try:
            row = next(row for row in ledger.outbox(job_id) if row.topic == topic)
            message = Message(row.event_id, job_id, topic, row.body, queue)
            await backends.broker.publish([message])
        finally:
            await backends.close()

    asyncio.run(publish())


def assert_done_once(ledger: Ledger, job_id: str) -> None:
    topics = [row.topic for row in ledger.outbox(job_id)]
    assert {topic: topics.count(topic) for topic in COMPLETIONS} == dict.fromkeys(COMPLETIONS, 1)
    stages = {stage.stage: stage for stage in ledger.stage_status(job_id)}
    assert (stages["segments"].expected, stages["segments"].done, stages["segments"].failed) == (SEGMENTS, SEGMENTS, 0)
    assert (stages["reassembly"].expected, stages["reassembly"].done) == (1, 1)
    assert ledger.dead_letters(job_id) == []
    assert ledger.conflicts(job_id) == []


def test_kills_of_every_stereo_worker_cost_time_only(
    tmp_path: Path, board: Switchboard, environment: Mapping[str, str]
) -> None:
    clip, data = write_clip(tmp_path / "clip.mp4", frames=30, bframes=2, audio=True), tmp_path / "data"
    serve = ("serve", "--data", data, "--port", "0", "--workers", "2")
    with running(serve, environment=environment) as server:
        with contextlib.closing(open_ledger(f"sqlite:///{data}/reelwork.db")) as ledger:
            job_id, killer = submit(server, clip), Killer(board)
            killer.kill_at("planned")
            killer.kill_at("cut 1")
            killer.kill_at("converted")
            killer.kill_at("stored")
            killer.kill_at("joined")
            killer.kill_at("final", times=2)  # it is there, and nobody knows
            go_on(board)
            assert wait_until_over(ledger, job_id) is JobStatus.COMPLETED
            assert_done_once(ledger, job_id)
            undisturbed = submit(server, clip)
            assert wait_until_over(ledger, undisturbed) is JobStatus.COMPLETED
        objects = data / "objects"
        assert (objects / final_key(job_id)).read_bytes() == (objects / final_key(undisturbed)).read_bytes()
        assert server.stop(signal.SIGTERM) == 0


def test_two_workers_on_one_segment_and_one_end(
    tmp_path: Path, board: Switchboard, environment: Mapping[str, str]
) -> None:
    clip, data = write_clip(tmp_path / "clip.mp4", frames=30, bframes=2, audio=True), tmp_path / "data"
    serve = ("serve", "--data", data, "--port", "0", "--workers", "2")
    with running(serve, environment=environment) as server:
        with contextlib.closing(open_ledger(f"sqlite:///{data}/reelwork.db")) as ledger:
            job_id, killer = submit(server, clip), Killer(board)
            one = killer.at("converted 0")
            tell_again(data, ledger, job_id, "segment.uploaded", "q.video_worker.segments")
            other = killer.at("converted 0")
            assert one.pid != other.pid
            one.answer()
            other.answer()
            first = killer.at("joined")
            tell_again(data, ledger, job_id, "segments.completed", "q.media_worker.segments.completed")
            second = killer.at("joined")
            assert first.pid != second.pid
            first.answer()
            second.answer()
            go_on(board)
            assert wait_until_over(ledger, job_id) is JobStatus.COMPLETED
            tell_again(data, ledger, job_id, "segments.completed", "q.media_worker.segments.completed")
            undisturbed = submit(server, clip)
            assert wait_until_over(ledger, undisturbed) is JobStatus.COMPLETED
            assert_done_once(ledger, job_id)
        objects = data / "objects"
        assert (objects / final_key(job_id)).read_bytes() == (objects / final_key(undisturbed)).read_bytes()
        assert server.stop(signal.SIGTERM) == 0
