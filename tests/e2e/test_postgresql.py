"""A server and a worker that share nothing but PostgreSQL and the object store, as two machines would."""

from __future__ import annotations

import signal
from pathlib import Path

from reelwork.ledger import open_ledger
from tests.clips import write_clip
from tests.e2e.commands import reelwork, running
from tests.postgresql import fresh_database, shared_server


def test_a_job_submitted_to_one_machine_is_worked_on_by_another(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=60, size=(96, 64), keyframe_interval=10, bframes=0)
    with fresh_database(migrated=False) as url:
        shared = {"REELWORK_DATABASE_URL": url, "REELWORK_OBJECTS_URL": f"file://{tmp_path}/objects"}
        serve = ["serve", "--data", tmp_path / "one", "--port", "0", "--workers", "0"]
        work = ["worker", "--data", tmp_path / "other", "--concurrency", "1"]
        with running(serve, environment=shared) as server, running(work, environment=shared) as worker:
            address = ["--url", server.told["url"], "--json"]
            submitted = reelwork("submit", clip, "--pipeline-id", "quality", *address)
            job_id = submitted.document["job_id"]
            assert reelwork("wait", job_id, *address).document["status"] == "completed"
            results = reelwork("results", job_id, *address)
            assert (results.status, len(results.document["results"])) == (0, 60), results
            assert worker.stop(signal.SIGTERM) == 0
            assert server.stop(signal.SIGTERM) == 0
        ledger = open_ledger(url)
        completions = [row for row in ledger.outbox(job_id) if row.topic == "video.ranges.completed"]
        ledger.close()
        assert len(completions) == 1
        assert not list(tmp_path.glob("o*/reelwork.db"))


def test_the_doctor_finds_the_server_or_says_that_it_is_away_and_never_tells_the_password() -> None:
    with fresh_database() as url:
        fine = reelwork("doctor", "--json", environment={"REELWORK_DATABASE_URL": url})
        away = url.replace(f":{shared_server().port}/", ":1/")
        broken = reelwork("doctor", "--json", environment={"REELWORK_DATABASE_URL": away})
    assert "s3cret" not in fine.stdout + fine.stderr + broken.stdout + broken.stderr
    assert "postgresql://postgres:***@127.0.0.1" in fine.stdout
    assert "does not answer" in broken.stdout
    assert broken.status != 0
