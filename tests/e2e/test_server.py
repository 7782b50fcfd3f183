"""A running server as its users meet it: a long video, neighbours on one folder, a full disk, the smoke test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from reelwork.pipelines.analyze import VideoFilePipelineService
from tests.clips import write_clip
from tests.e2e.commands import Running, reelwork, running, start

ROOT = Path(__file__).parents[2]
PIPELINE_ID = "shots+quality+motion"
TMPFS = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """65 s, with a keyframe every 2 s."""
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    return write_clip(path, frames=1_625, size=(96, 64), keyframe_interval=50, bframes=2)


def submit(server: Running, clip: Path, **fields: str) -> str:
    with clip.open("rb") as file:
        answer = httpx.post(f"{server.told['url']}/video/submit", data=fields, files={"file": file}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["job_id"]
    return str(answer.json()["job_id"])


def wait(server: Running, job_id: str) -> None:
    ended = reelwork("wait", job_id, "--url", server.told["url"], "--json")
    assert ended.document["status"] == "completed", ended


def events(data: Path) -> list[tuple[str, str, str]]:
    """(job id, topic, body) of everything that was ever published."""
    with sqlite3.connect(data / "reelwork.db") as connection:
        rows = connection.execute("SELECT job_id, topic, body FROM outbox ORDER BY sequence").fetchall()
    connection.close()
    return rows


def test_a_long_video_goes_through_many_ranges_and_completes_once(long_clip: Path, tmp_path: Path) -> None:
    with running(["serve", "--data", tmp_path, "--port", "0", "--workers", "2"]) as server:
        job_id = submit(server, long_clip, pipeline_id=PIPELINE_ID)
        wait(server, job_id)
        results = httpx.get(f"{server.told['url']}/video/results/{job_id}").json()
        status = httpx.get(f"{server.told['url']}/video/status/{job_id}").json()
        assert server.stop(signal.SIGTERM) == 0
    assert str(UUID(job_id)) == job_id
    assert status == {"job_id": job_id, "status": "completed", "progress": 1.0}
    expected = VideoFilePipelineService().run_on_file(long_clip, PIPELINE_ID)
    assert results == {"job_id": job_id, "results": expected}
    published = events(tmp_path)
    topics = [topic for _, topic, _ in published]
    assert topics.count("video.range.ready") >= 8
    assert topics.count("video.ranges.completed") == 1
    assert [json.loads(body) for _, topic, body in published if topic == "video.submitted"] == [{"job_id": job_id}]


def test_two_servers_on_one_folder_share_the_work(long_clip: Path, tmp_path: Path) -> None:
    arguments = ["serve", "--data", tmp_path, "--port", "0", "--workers", "1"]
    with running(arguments) as first, running(arguments) as second:
        job_ids = [submit(server, long_clip, pipeline_id="quality") for server in (first, second)]
        for job_id in job_ids:
            wait(first, job_id)
            wait(second, job_id)
        results = [
            httpx.get(f"{server.told['url']}/video/results/{job_id}").json()["results"]
            for server, job_id in zip((second, first), job_ids, strict=True)
        ]
        assert [first.stop(signal.SIGTERM), second.stop(signal.SIGTERM)] == [0, 0]
    assert results[0] == results[1] == VideoFilePipelineService().run_on_file(long_clip, "quality")
    completed = [job_id for job_id, topic, _ in events(tmp_path) if topic == "video.ranges.completed"]
    assert sorted(completed) == sorted(job_ids)


def test_smoke_insists_on_completed(tmp_path: Path) -> None:
    smoke = [sys.executable, "scripts/smoke.py", "--url"]
    with running(["serve", "--data", tmp_path, "--port", "0", "--workers", "1"]) as server:
        passed = subprocess.run(
            [*smoke, server.told["url"]], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        assert server.stop(signal.SIGTERM) == 0
    assert passed.returncode == 0, passed.stderr
    assert "completed with 48 results" in passed.stdout
    failed = subprocess.run(
        [*smoke, server.told["url"]], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert failed.returncode == 1
    assert "does not answer" in failed.stderr


@contextmanager
def server_on_small_disk(folder: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server whose data folder is a file system of 3 MB, and that folder as seen from outside."""
    mount = f'mount -t tmpfs -o size=3m tmpfs {folder} && exec "$0" "$@"'
    with start("serve", "--data", folder, "--port", "0", "--workers", "1", "--json", prefix=[*TMPFS, mount]) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"], Path(f"/proc/{process.pid}/root{folder}")
        finally:
            process.kill()


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*TMPFS, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="a small file system cannot be mounted here (no user namespaces)")
def test_a_full_disk_refuses_the_upload_and_keeps_nothing_of_it(long_clip: Path, tmp_path: Path) -> None:
    with server_on_small_disk(tmp_path) as (url, folder):
        big = long_clip.read_bytes() + os.urandom(8_000_000)
        answer = httpx.post(f"{url}/video/submit", files={"file": big}, timeout=60)
        assert answer.status_code == 503
        assert "No space left" in answer.json()["detail"]
        assert [path for path in (folder / "objects").rglob("*") if path.is_file()] == []
        assert httpx.get(f"{url}/jobs").json()["jobs"] == []
        small = write_clip(tmp_path.with_suffix(".mp4"))
        answer = httpx.post(f"{url}/video/submit", files={"file": small.read_bytes()}, timeout=60)
        assert answer.status_code == 200, answer.text
