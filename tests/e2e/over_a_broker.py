"""A job that goes from one machine to others and back, over a broker that is no database."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Final

from reelwork.ledger import open_ledger
from reelwork.pipelines.analyze import VideoFilePipelineService
from tests.clips import write_clip
from tests.e2e.commands import reelwork, running
from tests.postgresql import fresh_database

COMPLETIONS: Final = {"video.ranges.completed": 1, "job.completed": 1}


def assert_a_job_goes_from_one_machine_to_others_and_back(
    broker_url: str, tmp_path: Path, *, place: AbstractContextManager[str] | None = None
) -> None:
    """place: of the ledger; in PostgreSQL where none is given."""
    clip = write_clip(tmp_path / "clip.mp4", frames=60, size=(96, 64), keyframe_interval=10, bframes=0)
    with place or fresh_database(migrated=False) as database:
        shared = {
            "REELWORK_DATABASE_URL": database,
            "REELWORK_BROKER_URL": broker_url,
            "REELWORK_OBJECTS_URL": f"file://{tmp_path}/objects",
        }
        serve = ["serve", "--data", tmp_path / "one", "--port", "0", "--workers", "0"]
        work = ["worker", "--data", tmp_path / "other", "--concurrency", "2"]
        with running(serve, environment=shared) as server, running(work, environment=shared) as worker:
            address = ["--url", server.told["url"], "--json"]
            submitted = reelwork("submit", clip, "--pipeline-id", "quality", *address)
            job_id = submitted.document["job_id"]
            assert reelwork("wait", job_id, *address).document["status"] == "completed"
            results = reelwork("results", job_id, *address)
            assert results.document["results"] == VideoFilePipelineService().run_on_file(clip, "quality")
            assert worker.stop(signal.SIGTERM) == 0
            assert server.stop(signal.SIGTERM) == 0
        with closing(open_ledger(database)) as ledger:
            topics = Counter(row.topic for row in ledger.outbox(job_id))
            assert {topic: topics[topic] for topic in COMPLETIONS} == COMPLETIONS
            assert {row.publications for row in ledger.outbox(job_id)} == {1}  # by one of the two relays
            assert all(stage.done == stage.expected for stage in ledger.stage_status(job_id))
            assert ledger.queue_depths(job_id) == []  # its messages never lay in the database
            assert ledger.dead_letters(job_id) == []
