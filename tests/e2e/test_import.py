"""`reelwork import`: a data folder moves to servers, with a job that is over and one that is not."""

from __future__ import annotations

import signal
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from reelwork.ledger import JobStatus, open_ledger
from reelwork.pipelines.analyze import VideoFilePipelineService
from tests import rabbitmq, seaweed
from tests.clips import write_clip
from tests.e2e.commands import Running, reelwork, running
from tests.postgresql import fresh_database

SECONDS_MAX = 60.0


def submit(server: Running, clip: Path) -> str:
    submitted = reelwork("submit", clip, "--pipeline-id", "quality", "--url", server.told["url"], "--json")
    return str(submitted.document["job_id"])


def ask(what: str, job_id: str, server: Running) -> Any:
    return reelwork(what, job_id, "--url", server.told["url"], "--json").document


def wait_until_planned(data: Path, job_id: str) -> None:
    with closing(open_ledger(f"sqlite:///{data}/reelwork.db")) as ledger:
        deadline = time.monotonic() + SECONDS_MAX
        while ledger.job(job_id).status is JobStatus.PENDING:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_what_is_over_can_be_read_and_what_is_not_goes_on_and_completes_once(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=60, size=(96, 64), keyframe_interval=10, bframes=0)
    expected = VideoFilePipelineService().run_on_file(clip, "quality")
    data = tmp_path / "data"
    serve = ["serve", "--data", data, "--port", "0", "--workers", "0"]
    with running(serve) as server:
        with running(["worker", "--data", data, "--concurrency", "1"]) as worker:
            over = submit(server, clip)
            assert ask("wait", over, server)["status"] == "completed"
            assert worker.stop(signal.SIGTERM) == 0
        with running(["worker", "planner", "--data", data, "--concurrency", "1"]) as worker:
            begun = submit(server, clip)
            wait_until_planned(data, begun)
            assert worker.stop(signal.SIGTERM) == 0
        with fresh_database() as database:
            target = {
                "REELWORK_DATABASE_URL": database,
                "REELWORK_OBJECTS_URL": seaweed.fresh_url(),
                "REELWORK_BROKER_URL": rabbitmq.fresh_url(),
                **seaweed.CREDENTIALS,
            }
            too_early = reelwork("import", data, "--json", environment=target)
            assert (too_early.status, "stop it first" in too_early.document["error"]) == (2, True)
            assert server.stop(signal.SIGTERM) == 0

            first = reelwork("import", data, "--json", environment=target)
            assert first.status == 0, first
            assert first.document["rows"]["jobs"] == 2
            assert first.document["objects"]["copied"] > 0
            again = reelwork("import", data, "--json", environment=target)
            assert again.document["rows"] is None
            assert again.document["objects"] == {
                "copied": 0,
                "already": first.document["objects"]["copied"],
                "size_bytes": 0,
            }

            with running(["serve", "--port", "0", "--workers", "1"], environment=target) as moved:
                assert ask("results", over, moved)["results"] == expected
                assert ask("wait", begun, moved)["status"] == "completed"
                assert ask("results", begun, moved)["results"] == expected
                assert moved.stop(signal.SIGTERM) == 0
            with closing(open_ledger(database)) as ledger:
                for job_id in (over, begun):
                    topics = Counter(row.topic for row in ledger.outbox(job_id))
                    assert (topics["video.ranges.completed"], topics["job.completed"]) == (1, 1)
                    assert ledger.dead_letters(job_id) == []
                    assert ledger.queue_depths(job_id) == []


def test_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "reelwork.db").touch()
    ended = reelwork("import", tmp_path, "--json")
    assert (ended.status, ended.stderr) == (2, "")
    assert "set REELWORK_DATABASE_URL" in ended.document["error"]
