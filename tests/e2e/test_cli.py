"""The command line from end to end: what a user types, what is printed, and the exit status that a script sees."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from reelwork.pipelines.analyze import VideoFilePipelineService
from reelwork.vision import pull_model, pull_sample
from tests.clips import damage, signature_only, write_clip
from tests.e2e.commands import Running, reelwork, running, start
from tests.e2e.held_analyzer import Gate
from tests.weights import TEST_MODELS_DIR

WORKERS_WITHOUT_PIPELINE = """
import sys
if "reelwork.runtime.process" in sys.orig_argv:
    sys.modules["reelwork.pipelines.analyze"] = None
"""
QUALITY = ("--pipeline-id", "quality")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=40)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("server") / "data"
    with running(["serve", "--data", data, "--port", "0", "--workers", "1"]) as served:
        yield served


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


class TestAnalyze:
    def test_writes_the_results_of_one_process_and_leaves_nothing_else(self, clip: Path, tmp_path: Path) -> None:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        output = tmp_path / "results.json"
        ended = reelwork("analyze", clip, *QUALITY, "--output", output, environment={"TMPDIR": str(scratch)})
        assert ended.stderr == ""
        assert ended.status == 0
        assert "40 frames analysed" in ended.stdout
        assert json.loads(output.read_bytes()) == VideoFilePipelineService().run_on_file(clip, "quality")
        assert [path for path in scratch.rglob("*") if path.is_file() and path.suffix != ".lock"] == []

    def test_prints_one_document(self, clip: Path) -> None:
        ended = reelwork("analyze", clip, *QUALITY, "--frame-stride", "3", "--max-frames", "5", "--json")
        assert ended.stderr == ""
        assert ended.status == 0
        assert [frame["frame_index"] for frame in ended.document["results"]] == [0, 3, 6, 9, 12]
        assert ended.document["status"] == "completed"
        assert ended.document["frames"] == 5
        assert ended.document["completions"] == {"video.ranges": 1}

    def test_tells_missing_frames(self, tmp_path: Path) -> None:
        whole = write_clip(tmp_path / "whole.mp4", frames=400, keyframe_interval=100)
        clip = damage(whole, tmp_path / "damaged.mp4", range(210, 220))
        ended = reelwork("analyze", clip, *QUALITY, "--json")
        assert ended.status == 0
        (missing,) = ended.document["missing_frames"]
        assert missing["start"] <= 210
        assert missing["end"] >= 220
        assert len(ended.document["results"]) == 400 - missing["frames"]
        assert "missing: " in reelwork("analyze", clip, *QUALITY).stdout

    def test_a_job_that_fails_is_told_with_its_reason(self, tmp_path: Path) -> None:
        whole = write_clip(tmp_path / "whole.mp4")
        ended = reelwork("analyze", damage(whole, tmp_path / "damaged.mp4", range(1, 30)), *QUALITY, "--json")
        assert ended.status == 1
        assert "no frame of the video could be analysed" in ended.document["error"]

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            (["--pipeline-id", "nonsense"], "there is no analyzer 'nonsense'"),
            (["--frame-stride", "0"], "Input should be greater than or equal to 1"),
            (["--output", "/nowhere/results.json"], "there is no folder /nowhere"),
            (["--data", "/proc/reelwork"], "cannot write to the data folder /proc/reelwork"),
        ],
    )
    def test_bad_input(self, clip: Path, options: list[str], reason: str) -> None:
        ended = reelwork("analyze", clip, *options, "--json")
        assert ended.stderr == ""
        assert ended.status == 2
        assert reason in ended.document["error"]

    def test_not_a_video(self, tmp_path: Path) -> None:
        ended = reelwork("analyze", signature_only(tmp_path / "clip.mp4"))
        assert (ended.status, ended.stdout) == (2, "")
        assert ended.stderr.startswith("reelwork: ")
        assert len(ended.stderr.splitlines()) == 1

    def test_an_interrupt_cancels_the_job(self, clip: Path, gate: Gate, tmp_path: Path) -> None:
        data = tmp_path / "data"
        arguments = ("analyze", clip, "--pipeline-id", "held", "--workers", "1", "--data", data)
        with start(*arguments, environment=gate.environment) as process:
            gate.wait_for_arrival()
            workers = psutil.Process(process.pid).children()
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130
        assert stderr == "reelwork: interrupted; the job was cancelled\n"
        assert _job_statuses(data) == ["cancelled"]
        assert psutil.wait_procs(workers, timeout=60)[1] == []

    def test_a_worker_that_cannot_start_is_no_interrupt(self, clip: Path, tmp_path: Path) -> None:
        (tmp_path / "sitecustomize.py").write_text(WORKERS_WITHOUT_PIPELINE)
        ended = reelwork("analyze", clip, *QUALITY, "--json", environment={"PYTHONPATH": str(tmp_path)})
        assert ended.status == 2
        assert ended.document == {"error": "a worker process could not start; its reason stands above"}
        assert "pipeline analyze " in ended.stderr


class TestServe:
    def test_a_job_from_submit_to_results(self, server: Running, clip: Path, tmp_path: Path) -> None:
        url = ("--url", server.told["url"])
        submitted = reelwork("submit", clip, *QUALITY, *url)
        job_id = submitted.stdout.strip()
        waited = reelwork("wait", job_id, *url, "--timeout", "60", "--json")
        assert (waited.status, waited.document) == (0, {"job_id": job_id, "status": "completed", "progress": 1.0})
        expected = VideoFilePipelineService().run_on_file(clip, "quality")
        assert reelwork("results", job_id, *url, "--json").document == {"job_id": job_id, "results": expected}
        output = tmp_path / "results.json"
        assert reelwork("results", job_id, *url, "--output", output).status == 0
        assert json.loads(output.read_bytes()) == expected
        assert reelwork("status", job_id, *url).stdout.startswith("completed  100%")
        assert reelwork("status", job_id, *url, "--json").document["details"]["frames"] == 40
        (stage,) = reelwork("stages", job_id, *url, "--json").document["stages"]
        assert (stage["stage"], stage["completion"]["reason"]) == ("video.ranges", "all")
        assert stage["fired"] in " ".join(reelwork("stages", job_id, *url).stdout.split())
        assert "cannot become cancelled" in reelwork("cancel", job_id, *url).stderr

    def test_submits_with_one_key_are_one_job(self, server: Running, clip: Path) -> None:
        arguments = ("submit", clip, *QUALITY, "--idempotency-key", "once", "--url", server.told["url"], "--json")
        assert reelwork(*arguments).document == reelwork(*arguments).document

    def test_refusals(self, server: Running, clip: Path, tmp_path: Path) -> None:
        url = ("--url", server.told["url"], "--json")
        no_video = reelwork("submit", signature_only(tmp_path / "clip.mp4"), *url)
        assert (no_video.status, list(no_video.document)) == (2, ["error"])
        assert reelwork("submit", clip, "--pipeline-id", "nonsense", *url).status == 2
        for command in ("status", "wait", "results", "cancel", "stages"):
            ended = reelwork(command, "nobody", *url)
            assert (ended.status, ended.document) == (2, {"error": "no job has the id nobody"})
        assert reelwork("dead-letters", *url).document == []
        assert reelwork("dead-letters", "replay", "1", *url).status == 2

    def test_a_job_is_cancelled_before_it_is_done(self, clip: Path, gate: Gate, tmp_path: Path) -> None:
        arguments = ["serve", "--data", tmp_path / "data", "--port", "0", "--workers", "1"]
        with running(arguments, environment={**gate.environment, "REELWORK_DRAIN_SECONDS": "0"}) as server:
            url = ("--url", server.told["url"], "--json")
            job_id = reelwork("submit", clip, "--pipeline-id", "held", *url).document["job_id"]
            gate.wait_for_arrival()
            early = reelwork("wait", job_id, "--timeout", "0", *url)
            assert (early.status, list(early.document)) == (4, ["error"])
            assert reelwork("results", job_id, *url).status == 4
            assert reelwork("cancel", job_id, *url).document["status"] == "cancelled"
            waited = reelwork("wait", job_id, *url)
            assert (waited.status, waited.document["error"]) == (1, "cancelled by its owner")
            assert reelwork("results", job_id, *url).status == 1
            assert server.stop(signal.SIGTERM) == 0

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_drains_it(self, number: int, clip: Path, tmp_path: Path) -> None:
        with running(["serve", "--data", tmp_path, "--port", "0", "--workers", "2"]) as server:
            url = server.told["url"]
            assert httpx.get(f"{url}/healthz", trust_env=False).json() == {"status": "ok"}
            _finish_a_job(clip, url)
            workers = server.workers()
            assert len(workers) == 2
            assert server.stop(number) == 0
            assert not any(worker.is_running() for worker in workers)
        assert reelwork("status", "any", "--url", url, "--json").status == 3

    def test_its_workers_end_when_it_is_killed(self, clip: Path, tmp_path: Path) -> None:
        with running(["serve", "--data", tmp_path, "--port", "0", "--workers", "1"]) as server:
            _finish_a_job(clip, server.told["url"])
            workers = server.workers()
            assert len(workers) == 1
            server.stop(signal.SIGKILL)
            assert psutil.wait_procs(workers, timeout=60)[1] == []

    def test_a_port_in_use(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            ended = reelwork("serve", "--data", tmp_path, "--port", port, "--json")
        assert ended.stderr == ""
        assert ended.status == 2
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.document["error"]

    def test_an_open_address_without_a_token(self, tmp_path: Path) -> None:
        ended = reelwork("serve", "--data", tmp_path, "--host", "0.0.0.0", "--port", "0")
        assert ended.status == 2
        assert "REELWORK_API_TOKEN" in ended.stderr

    def test_a_data_folder_that_cannot_be_written(self) -> None:
        ended = reelwork("serve", "--data", "/proc/reelwork", "--port", "0")
        assert ended.status == 2
        assert ended.stderr.startswith("reelwork: cannot write to the data folder /proc/reelwork")

    def test_a_token_is_brought_along(self, clip: Path, tmp_path: Path) -> None:
        token = {"REELWORK_API_TOKEN": "secret"}
        with running(["serve", "--data", tmp_path, "--port", "0", "--workers", "1"], environment=token) as server:
            url = ("--url", server.told["url"], "--json")
            assert reelwork("submit", clip, *QUALITY, *url).status == 2
            assert reelwork("submit", clip, *QUALITY, *url, environment=token).status == 0


class TestStuck:
    def test_a_job_without_workers_is_told_by_server_and_doctor_until_it_has_some(
        self, clip: Path, tmp_path: Path
    ) -> None:
        doctor = ("doctor", "--data", tmp_path, "--stuck-after", "0")
        with running(["serve", "--data", tmp_path, "--port", "0", "--workers", "0"]) as server:
            url = server.told["url"]
            job_id = reelwork("submit", clip, *QUALITY, "--url", url).stdout.strip()
            (reason,) = reelwork("stages", job_id, "--url", url, "--json").document["reasons"]
            assert (reason["cause"], reason["is_stuck"]) == ("queued", False)
            assert "1 message waits in q.analyze.jobs" in reelwork("stages", job_id, "--url", url).stdout
            found = reelwork(*doctor, "--json")
            assert (found.status, found.document["healthy"]) == (1, False)
            (stuck,) = [each for each in found.document["findings"] if each["health"] == "broken"]
            assert (stuck["subject"], "no worker" in stuck["found"]) == (f"job {job_id}", True)
            assert stuck["fix"] == "start workers: `reelwork worker planner`"
            with running(["worker", "--data", tmp_path, "--concurrency", "1"]):
                assert reelwork("wait", job_id, "--url", url, "--timeout", "90").status == 0
        assert "0 looked at, none stuck" in " ".join(reelwork(*doctor).stdout.split())


SERVICES = [
    *("analyzer", "chunking-worker", "evidence-builder", "match-planner", "matcher", "media-worker", "merger"),
    *("planner", "product-finder", "product-segmentor", "video-crawler", "video-worker", "vision-embedding"),
    "vision-keypoint",
]


class TestWorker:
    def test_works_for_a_server_that_has_no_workers(self, clip: Path, tmp_path: Path) -> None:
        with (
            running(["serve", "--data", tmp_path, "--port", "0", "--workers", "0"]) as server,
            running(["worker", "--data", tmp_path, "--concurrency", "1"]) as worker,
        ):
            assert worker.told["services"] == SERVICES
            _finish_a_job(clip, server.told["url"])
            workers = worker.workers()
            assert (len(workers), server.workers()) == (1, [])
            assert worker.stop(signal.SIGTERM) == 0
            assert not any(process.is_running() for process in workers)

    def test_an_unknown_service(self, tmp_path: Path) -> None:
        ended = reelwork("worker", "cook", "--data", tmp_path, "--json")
        assert ended.stderr == ""
        assert ended.status == 2
        assert f"no service is called cook; there are: {', '.join(SERVICES)}" in ended.document["error"]


class TestDemo:
    def test_twice(self, tmp_path: Path) -> None:
        pull_sample("bikes", models_dir=TEST_MODELS_DIR)
        for sample in ("cat", "coffee", "astronaut"):
            pull_sample(sample, models_dir=TEST_MODELS_DIR)
        for model in ("efficientdet-lite0", "efficientnet-lite0", "fastdepth"):
            pull_model(model, models_dir=TEST_MODELS_DIR)
        environment = {"REELWORK_MODELS_DIR": str(TEST_MODELS_DIR)}
        first = reelwork("demo", "--output", tmp_path, environment=environment)
        assert first.stderr.splitlines()[0] == "bikes: reading the video"
        assert first.stderr.splitlines()[-1] == "reassembly 100%"
        assert first.status == 0
        assert "video.ranges.completed: 2 of 2 done, told exactly once" in first.stdout
        second = reelwork("demo", "--output", tmp_path, "--json", environment=environment)
        summary = json.loads((tmp_path / "summary.json").read_bytes())
        assert second.document == summary
        match = summary.pop("match")
        assert summary.pop("job_id") not in first.stdout
        assert set(match["completions"].values()) == {1}
        assert match["compared"] == ["3 of the 3 products that were placed in a video were found in it."]
        assert match["compared"][0] in first.stdout
        assert json.loads((tmp_path / "match" / "matches.json").read_bytes()) == match["results"]
        assert (tmp_path / "match" / "report.html").read_text().startswith("<!doctype html>")
        stereo = summary.pop("stereo")
        assert (stereo["completions"], stereo["segments"]) == ({"segments": 1, "reassembly": 1}, 5)
        assert (stereo["result"]["frames"], stereo["result"]["is_converted"]) == (250, True)
        assert (tmp_path / "3d.mp4").stat().st_size == stereo["result"]["bytes"]
        assert (tmp_path / "3d.png").read_bytes().startswith(b"\x89PNG")
        assert summary == {"status": "completed", "frames": 250, "completions": {"video.ranges": 1}}
        assert len(json.loads((tmp_path / "results.json").read_bytes())) == 250
        assert (tmp_path / "contact-sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_broken_pipe_is_no_traceback(clip: Path) -> None:
    with start("analyze", clip, *QUALITY, "--json") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        stderr = process.stderr.read()
    assert "Traceback" not in stderr


def _finish_a_job(clip: Path, url: str) -> None:
    """Proves that there are workers, and that they work."""
    job_id = reelwork("submit", clip, *QUALITY, "--url", url).stdout.strip()
    assert reelwork("wait", job_id, "--timeout", "60", "--url", url).status == 0


def _job_statuses(data: Path) -> list[str]:
    connection = sqlite3.connect(data / "reelwork.db")
    try:
        return [status for (status,) in connection.execute("SELECT status FROM jobs")]
    finally:
        connection.close()
