"""Workers, the server and the broker killed with `kill -9` in the middle of a job cost time and nothing else.

Every range of the clip begins with a call to the test, so each kill hits a worker that is at work, and nothing sleeps.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from reelwork.ledger import JobStatus, Ledger, open_ledger
from reelwork.pipelines.analyze import VideoFilePipelineService
from reelwork.pipelines.analyze.analyzer import RANGES_STAGE
from tests import moto, rabbitmq, valkey
from tests.clips import write_clip
from tests.e2e.commands import Running, running
from tests.seaweed import CREDENTIALS, seaweed_server
from tests.switchboard import ADDRESS, REPOSITORY, Switchboard, listening
from tests.valkey import valkey_server

FRAMES, RANGE_FRAMES, RANGES = 1500, 150, 10
RANGES_STREAM = "reelwork:q.analyzer.ranges"
FRESH_URLS = {"redis": valkey.fresh_url, "rabbitmq": rabbitmq.fresh_url, "sqs": moto.fresh_url}
ON_AWS = {**moto.CREDENTIALS, "REELWORK_LEASE_SECONDS": "2"}
"""What a killed process held comes back when its lease has ended, and no sooner."""
KILLS = 3
JOB_SECONDS_MAX = 90.0
ANALYZER = f"""
import os
from pydantic import BaseModel
from reelwork.pipelines.analyze.analyzers import FrameAnalyzer
from tests.seaweed import CREDENTIALS, seaweed_server
from tests.switchboard import ADDRESS, ring

class Number(BaseModel):
    number: int

class Tolled(FrameAnalyzer[Number]):
    name = "tolled"
    result = Number

    def analyze(self, frame):
        if ADDRESS in os.environ and frame.index % {RANGE_FRAMES} == 0:
            ring(str(frame.index))
        return Number(number=frame.index)
"""


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Switchboard]:
    (tmp_path / "tolled.py").write_text(ANALYZER)
    metadata = tmp_path / "tolled-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tolled\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[reelwork.analyzers]\ntolled = tolled:Tolled\n")
    with listening(tmp_path / "line") as board:
        yield board


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    monkeypatch.syspath_prepend(str(tmp_path))
    return {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY}",
        ADDRESS: str(tmp_path / "line"),
        "REELWORK_DRAIN_SECONDS": "2",
    }


def submit(server: Running, clip: Path) -> str:
    form = {"pipeline_id": "motion+tolled"}
    with clip.open("rb") as file:
        answer = httpx.post(f"{server.told['url']}/video/submit", data=form, files={"file": file}, timeout=30)
    job_id: str = answer.raise_for_status().json()["job_id"]
    return job_id


def answer_all(board: Switchboard) -> None:
    """From now on nobody is held."""

    def answer() -> None:
        for call in board:
            call.answer()

    threading.Thread(target=answer, daemon=True).start()


def wait_until_over(ledger: Ledger, job_id: str) -> JobStatus:
    """Hears of every commit; a ring that is lost costs half a second."""
    deadline = time.monotonic() + JOB_SECONDS_MAX
    with contextlib.closing(ledger.database.listen()) as listener:  # type: ignore[attr-defined]
        while not (status := ledger.job(job_id).status).is_terminal:
            assert time.monotonic() < deadline, ledger.stage_status(job_id)
            select.select([listener], [], [], 0.5)
            listener.take()
    return status


def assert_done_once(ledger: Ledger, server: Running, job_id: str, clip: Path) -> None:
    """The job ends well, with the results of an undisturbed run, every range counted and each completion told once."""
    assert wait_until_over(ledger, job_id) is JobStatus.COMPLETED
    answer: dict[str, Any] = httpx.get(f"{server.told['url']}/video/results/{job_id}").json()
    assert answer["results"] == VideoFilePipelineService().run_on_file(clip, "motion+tolled")
    topics = [row.topic for row in ledger.outbox(job_id)]
    assert topics.count("video.ranges.completed") == topics.count("job.completed") == 1
    (stage,) = ledger.stage_status(job_id)
    assert (stage.stage, stage.expected, stage.done, stage.failed) == (RANGES_STAGE, RANGES, RANGES, 0)
    assert ledger.dead_letters(job_id) == []


@pytest.mark.parametrize("broker", ["sql", "redis", "rabbitmq", "sqs"])
def test_kills_cost_time_only(tmp_path: Path, board: Switchboard, environment: Mapping[str, str], broker: str) -> None:
    if broker in FRESH_URLS:
        environment = {
            **environment,
            "REELWORK_BROKER_URL": FRESH_URLS[broker](),
            **(ON_AWS if broker == "sqs" else {}),
        }
    clip = write_clip(tmp_path / "clip.mp4", frames=FRAMES, keyframe_interval=50)
    serve = ("serve", "--data", tmp_path / "data", "--port", "0", "--workers", "2")
    with running(serve, environment=environment) as server:
        job_id = submit(server, clip)
        board.next_call().answer()
        killed = set[int]()
        while len(killed) < KILLS:
            call = board.next_call()
            if call.pid not in killed:
                os.kill(call.pid, signal.SIGKILL)
                killed.add(call.pid)
        at_work = [board.next_call(), board.next_call()]
        server.process.kill()
        server.process.wait()
    at_work[0].answer()  # one worker can finish what it has begun; the other gives it back when it may no longer wait
    answer_all(board)
    with running(serve, environment=environment) as server:
        with contextlib.closing(open_ledger(f"sqlite:///{tmp_path}/data/reelwork.db")) as ledger:
            assert_done_once(ledger, server, job_id, clip)
        assert server.stop(signal.SIGTERM) == 0


def test_a_broker_that_dies_and_comes_back_costs_time_only(
    tmp_path: Path, board: Switchboard, environment: Mapping[str, str]
) -> None:
    """RabbitMQ keeps what it has confirmed, and hands out again what was in hand."""
    clip = write_clip(tmp_path / "clip.mp4", frames=FRAMES, keyframe_interval=50)
    serve = ("serve", "--data", tmp_path / "data", "--port", "0", "--workers", "2")
    environment = {**environment, "REELWORK_BROKER_URL": rabbitmq.fresh_url()}
    with running(serve, environment=environment) as server:
        job_id = submit(server, clip)
        at_work = [board.next_call(), board.next_call()]
        broker = rabbitmq.shared_server()
        broker.kill()
        try:
            at_work[0].answer()
        finally:
            broker.restart()
        at_work[1].answer()
        answer_all(board)
        with contextlib.closing(open_ledger(f"sqlite:///{tmp_path}/data/reelwork.db")) as ledger:
            assert_done_once(ledger, server, job_id, clip)
        assert server.stop(signal.SIGTERM) == 0


def test_a_broker_that_dies_and_forgets_everything_costs_time_only(
    tmp_path: Path, board: Switchboard, environment: Mapping[str, str]
) -> None:
    """It keeps nothing on its disk: what waited in it comes from the outbox once more."""
    clip = write_clip(tmp_path / "clip.mp4", frames=FRAMES, keyframe_interval=50)
    serve = ("serve", "--data", tmp_path / "data", "--port", "0", "--workers", "2")
    impatient = {"REELWORK_REPUBLISH_AFTER_SECONDS": "1", "REELWORK_SWEEP_SECONDS": "0.2"}
    with valkey_server() as valkey:
        environment = {**environment, **impatient, "REELWORK_BROKER_URL": valkey.url()}
        with running(serve, environment=environment) as server:
            job_id = submit(server, clip)
            at_work = [board.next_call(), board.next_call()]
            assert int(valkey.execute("XLEN", RANGES_STREAM)) >= RANGES  # a slow machine has published some twice
            valkey.kill()
            valkey.restart()
            assert valkey.execute("EXISTS", RANGES_STREAM) == 0
            for call in at_work:
                call.answer()
            answer_all(board)
            with contextlib.closing(open_ledger(f"sqlite:///{tmp_path}/data/reelwork.db")) as ledger:
                assert_done_once(ledger, server, job_id, clip)
            assert server.stop(signal.SIGTERM) == 0


def test_an_object_store_that_is_gone_for_a_while_costs_time_only(
    tmp_path: Path, board: Switchboard, environment: Mapping[str, str]
) -> None:
    """It goes while two ranges are at work, and is back when their results have been waiting for it."""
    clip = write_clip(tmp_path / "clip.mp4", frames=FRAMES, keyframe_interval=50)
    serve = ("serve", "--data", tmp_path / "data", "--port", "0", "--workers", "2")
    with seaweed_server() as store:
        environment = {**environment, **CREDENTIALS, "REELWORK_OBJECTS_URL": store.url()}
        with running(serve, environment=environment) as server:
            job_id = submit(server, clip)
            at_work = [board.next_call(), board.next_call()]
            store.kill()
            for call in at_work:
                call.answer()
            ready = httpx.get(f"{server.told['url']}/readyz", timeout=30)
            assert (ready.status_code, "object store" in ready.json()["detail"]) == (503, True)
            store.restart()
            answer_all(board)
            with contextlib.closing(open_ledger(f"sqlite:///{tmp_path}/data/reelwork.db")) as ledger:
                assert_done_once(ledger, server, job_id, clip)
            assert server.stop(signal.SIGTERM) == 0
