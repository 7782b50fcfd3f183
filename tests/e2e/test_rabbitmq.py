"""A server and workers whose messages go through RabbitMQ: the real runtime on a real server."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import closing
from pathlib import Path

from reelwork.ledger import open_ledger
from reelwork.pipelines.analyze import VideoFilePipelineService
from tests.clips import write_clip
from tests.e2e.commands import reelwork, running
from tests.postgresql import fresh_database
from tests.rabbitmq import PASSWORD, fresh_url, shared_server

COMPLETIONS = {"video.ranges.completed": 1, "job.completed": 1}


def test_a_job_goes_from_one_machine_to_others_and_back(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=60, size=(96, 64), keyframe_interval=10, bframes=0)
    with fresh_database(migrated=False) as database:
        shared = {
            "REELWORK_DATABASE_URL": database,
            "REELWORK_BROKER_URL": fresh_url(),
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
            assert {row.publications for row in ledger.outbox(job_id)} == {1}
            assert all(stage.done == stage.expected for stage in ledger.stage_status(job_id))
            assert ledger.queue_depths(job_id) == []  # its messages never lay in the database
            assert ledger.dead_letters(job_id) == []


def test_the_doctor_finds_the_broker_or_says_what_is_wrong_and_never_tells_the_password(tmp_path: Path) -> None:
    data, url = ["--data", tmp_path / "data"], fresh_url()
    fine = reelwork("doctor", *data, "--json", environment={"REELWORK_BROKER_URL": url})
    away = url.replace(f":{shared_server().port}/", ":1/")
    broken = reelwork("doctor", *data, "--json", environment={"REELWORK_BROKER_URL": away})
    patient = {"REELWORK_BROKER_URL": url, "REELWORK_HANDLER_TIMEOUT_SECONDS": "1800"}
    impossible = reelwork("doctor", *data, "--json", environment=patient)
    for told in (fine, broken, impossible):
        assert PASSWORD not in told.stdout + told.stderr
    assert "amqp://tester:***@127.0.0.1" in fine.stdout
    assert "does not answer" in broken.stdout
    assert "takes back what it was given after 1800 s" in impossible.stdout
    assert (fine.status, broken.status, impossible.status) == (0, 1, 1)
