"""A server and workers that share no folder, only PostgreSQL and S3, make the very bytes that one machine makes."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import httpx

from reelwork.ledger import open_ledger
from reelwork.vision import pull_model
from tests.clips import write_clip
from tests.e2e.commands import Running, reelwork, running
from tests.pipelines.match.job.house import texture, write_product, write_video
from tests.postgresql import fresh_database
from tests.seaweed import CREDENTIALS, SECRET_KEY, fresh_url
from tests.weights import TEST_MODELS_DIR

Files = list[tuple[str, tuple[str, bytes]]]
Made = Mapping[str, bytes]
"""Results and artifacts, by name."""


def submitted(url: str, form: Mapping[str, str], files: Files) -> str:
    answer = httpx.post(f"{url}/jobs", data=dict(form), files=files, timeout=60)
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def made_by(url: str, job_id: str) -> Made:
    ended = reelwork("wait", job_id, "--url", url, "--json")
    assert ended.document["status"] == "completed", ended
    made = {"results": httpx.get(f"{url}/video/results/{job_id}").content.replace(job_id.encode(), b"JOB")}
    for artifact in httpx.get(f"{url}/jobs/{job_id}/artifacts").json()["artifacts"]:
        made[artifact["name"]] = httpx.get(f"{url}{artifact['url']}").content.replace(job_id.encode(), b"JOB")
    return made


def two_jobs(url: str, clip: bytes, pictures: Files) -> tuple[list[str], list[Made]]:
    """One of each pipeline, at once."""
    job_ids = [
        submitted(url, {"pipeline": "analyze", "pipeline_id": "quality+motion"}, [("file", ("clip.mp4", clip))]),
        submitted(url, {"pipeline": "match"}, pictures),
    ]
    return job_ids, [made_by(url, job_id) for job_id in job_ids]


def test_processes_that_share_no_folder_make_what_one_machine_makes(tmp_path: Path) -> None:
    pull_model("efficientnet-lite0", models_dir=TEST_MODELS_DIR)
    clip = write_clip(tmp_path / "clip.mp4", frames=450, size=(96, 64), keyframe_interval=50).read_bytes()
    files: Files = []
    for number, name in enumerate(("mug", "box")):
        write_product(tmp_path / "products", name, texture(number))
    for path in sorted((tmp_path / "products").rglob("*.png")):
        files.append(("products", (f"{path.parent.name}/{path.name}", path.read_bytes())))
    write_video(tmp_path / "kitchen.mp4", texture(0), seconds=4)
    files.append(("videos", ("kitchen.mp4", (tmp_path / "kitchen.mp4").read_bytes())))
    common = {"REELWORK_MODELS_DIR": str(TEST_MODELS_DIR)}

    with running(["serve", "--data", tmp_path / "alone", "--port", "0", "--workers", "2"], environment=common) as alone:
        _, expected = two_jobs(alone.told["url"], clip, files)
    assert b'"product":"mug"' in expected[1]["results"].replace(b" ", b"")
    with fresh_database(migrated=False) as database, ExitStack() as machines:
        url = fresh_url()
        shared = {**common, **CREDENTIALS, "REELWORK_DATABASE_URL": database, "REELWORK_OBJECTS_URL": url}

        def machine(name: str, *command: str) -> Running:
            """With folders of its own, for its data and for what it needs for a moment."""
            (tmp_path / name / "tmp").mkdir(parents=True)
            own = {**shared, "TMPDIR": str(tmp_path / name / "tmp")}
            return machines.enter_context(running([*command, "--data", tmp_path / name / "data"], environment=own))

        server = machine("server", "serve", "--port", "0", "--workers", "0")
        workers = [machine(f"worker{number}", "worker", "--concurrency", "1") for number in range(2)]
        job_ids, made = two_jobs(server.told["url"], clip, files)
        assert made == expected
        for one in (*workers, server):
            assert one.stop(signal.SIGTERM) == 0
        left = {path.name for place in ("server", "worker0", "worker1") for path in (tmp_path / place).rglob("*")}
        assert left <= {"data", "tmp"}, "nothing lies on the machines"
        with closing(open_ledger(database)) as ledger:
            for job_id in job_ids:
                topics = Counter(row.topic for row in ledger.outbox(job_id))
                assert topics["job.completed"] == 1
                assert all(stage.done == stage.expected for stage in ledger.stage_status(job_id))
                assert ledger.dead_letters(job_id) == []


def test_the_doctor_finds_the_store_or_says_that_it_is_away_and_never_tells_the_secret(tmp_path: Path) -> None:
    data, url = ["--data", tmp_path / "data"], fresh_url()
    fine = reelwork("doctor", *data, "--json", environment={**CREDENTIALS, "REELWORK_OBJECTS_URL": url})
    away = {**CREDENTIALS, "REELWORK_OBJECTS_URL": "s3://bucket/x?endpoint=http://127.0.0.1:1"}
    broken = reelwork("doctor", *data, "--json", environment=away)
    assert SECRET_KEY not in fine.stdout + fine.stderr + broken.stdout + broken.stderr
    assert "s3://reelwork-test/" in fine.stdout
    assert "http://127.0.0.1:1 does not answer" in broken.stdout
    assert (fine.status, broken.status) == (0, 1)


def test_a_server_with_wrong_credentials_does_not_start(tmp_path: Path) -> None:
    wrong = {**CREDENTIALS, "AWS_SECRET_ACCESS_KEY": "another-s3cret", "REELWORK_OBJECTS_URL": fresh_url()}
    ended = reelwork("worker", "--data", tmp_path / "data", "--json", environment=wrong)
    assert ended.status != 0
    assert "does not let us in" in ended.stdout + ended.stderr
    assert "another-s3cret" not in ended.stdout + ended.stderr


def test_a_run_without_a_server_leaves_the_store_of_the_environment_alone(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=20, size=(96, 64), keyframe_interval=10, bframes=0)
    away = {"REELWORK_OBJECTS_URL": "s3://bucket?endpoint=http://127.0.0.1:1"}
    ended = reelwork("analyze", clip, "--pipeline-id", "quality", "--json", environment=away)
    assert ended.status == 0, ended
