"""`reelwork match` and its services as their users meet them: files in, matches and a report out, whoever dies."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from reelwork.ledger import Ledger, StageStatus, open_ledger
from reelwork.vision import pull_model
from tests.e2e.commands import Running, reelwork, running
from tests.pipelines.match.job.house import texture, write_product, write_video
from tests.weights import TEST_MODELS_DIR

STAGES = (
    "products.collections",
    "videos.collections",
    "image.masks",
    "image.embeddings",
    "image.keypoints",
    "video.embeddings",
    "video.keypoints",
    "match.request",
    "evidences.generation",
)
SERVICES_OF_PROCESSES = (
    ("match-planner", "product-finder", "video-crawler"),
    ("product-segmentor",),
    ("vision-embedding",),
    ("vision-keypoint",),
    ("matcher", "evidence-builder"),
)
JOB_SECONDS_MAX = 120.0


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three products, and three videos of which two have one of them."""
    pull_model("efficientnet-lite0", models_dir=TEST_MODELS_DIR)
    folder = tmp_path_factory.mktemp("shelf")
    for number, name in enumerate(("red mug", "blue-box", "green-tin")):
        write_product(folder / "products", name, texture(number))
    write_video(folder / "videos" / "kitchen.mp4", texture(0), seconds=12)
    write_video(folder / "videos" / "cellar.mp4", texture(2), seconds=12, seed=3)
    write_video(folder / "videos" / "garden.mp4", None, seconds=12, seed=5)
    return folder


@pytest.fixture
def environment(shelf: Path) -> Mapping[str, str]:
    return {"REELWORK_MODELS_DIR": str(TEST_MODELS_DIR), "REELWORK_SOURCE_FOLDERS": str(shelf)}


def pairs(results: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(result["product"], result["video"]) for result in results}


FOUND = {("red mug", "kitchen"), ("green-tin", "cellar")}


class TestCommand:
    def test_writes_matches_and_a_report_and_looks_at_nothing_twice(
        self, shelf: Path, tmp_path: Path, environment: Mapping[str, str]
    ) -> None:
        folders = ["--products", shelf / "products", "--videos", shelf / "videos", "--data", tmp_path / "data"]
        first = reelwork("match", *folders, "--out", tmp_path / "one", "--json", environment=environment)
        assert first.status == 0, first
        assert first.document["completions"] == dict.fromkeys(first.document["completions"], 1)
        assert set(first.document["completions"]) == set(STAGES)
        matches = json.loads((tmp_path / "one" / "matches.json").read_text())
        assert matches == first.document["results"]
        assert pairs(matches) == FOUND
        assert (tmp_path / "one" / "report.html").read_text().lower().startswith("<!doctype html>")
        pictures = sorted((tmp_path / "one" / "evidence").iterdir())
        assert [picture.name for picture in pictures] == ["00000.jpg", "00001.jpg"]

        before = stored(tmp_path / "data")
        second = reelwork("match", *folders, "--out", tmp_path / "two", "--json", environment=environment)
        assert second.document["results"] == matches
        assert stored(tmp_path / "data") == before, "no frame, no mask and no feature was made again"

    def test_progress_is_told_by_phase(self, shelf: Path, tmp_path: Path, environment: Mapping[str, str]) -> None:
        folders = ["--products", shelf / "products", "--videos", shelf / "videos", "--out", tmp_path / "out"]
        ended = reelwork("match", *folders, environment=environment)
        assert ended.status == 0, ended
        for phase in ("collection", "feature extraction", "matching", "evidence"):
            assert f"{phase} 100%" in ended.stderr
        assert "2 matches" in ended.stdout
        assert str(tmp_path / "out" / "report.html") in ended.stdout.replace("\n", "")

    @pytest.mark.parametrize(
        ("products", "reason"), [("nowhere", "does not exist"), ("videos/kitchen.mp4", "is not a folder")]
    )
    def test_what_cannot_work_is_refused_in_a_sentence(
        self, shelf: Path, tmp_path: Path, environment: Mapping[str, str], products: str, reason: str
    ) -> None:
        folders = ["--products", shelf / products, "--videos", shelf / "videos", "--out", tmp_path / "out"]
        ended = reelwork("match", *folders, "--json", environment=environment)
        assert ended.status == 2, ended
        assert reason in ended.document["error"]


def stored(data: Path) -> dict[str, int]:
    """What lies by content in the object store, and when it was written."""
    kept = [path for kind in ("frames", "features") for path in (data / "objects" / kind).rglob("*") if path.is_file()]
    return {str(path): path.stat().st_mtime_ns for path in kept}


class TestServer:
    def test_takes_files_and_shows_what_it_found(
        self, shelf: Path, tmp_path: Path, environment: Mapping[str, str]
    ) -> None:
        with running(["serve", "--data", tmp_path, "--port", "0", "--workers", "2"], environment=environment) as server:
            url = server.told["url"]
            files = [
                ("products", (f"{path.parent.name}/{path.name}", path.read_bytes()))
                for path in sorted((shelf / "products").rglob("*.png"))
            ]
            files += [("videos", (path.name, path.read_bytes())) for path in sorted((shelf / "videos").iterdir())]
            made = httpx.post(f"{url}/jobs", data={"pipeline": "match"}, files=files, timeout=30)
            assert made.status_code == 201, made.text
            job_id = made.json()["job_id"]
            ended = reelwork("wait", job_id, "--url", url, "--json")
            assert ended.document["status"] == "completed", ended
            job = httpx.get(f"{url}/jobs/{job_id}").json()
            assert [phase["name"] for phase in job["phases"]] == [
                "collection",
                "feature_extraction",
                "matching",
                "evidence",
            ]
            assert job["details"]["matches"] == 2
            assert pairs(httpx.get(f"{url}/video/results/{job_id}").json()["results"]) == FOUND
            assert pairs(httpx.get(f"{url}/jobs/{job_id}/artifacts/matches.json").json()) == FOUND
            report = httpx.get(f"{url}/jobs/{job_id}/artifacts/report.html")
            assert report.headers["Content-Type"] == "text/html; charset=utf-8"

    def test_takes_no_path_that_it_was_not_told_to_read(self, shelf: Path, tmp_path: Path) -> None:
        environment = {"REELWORK_MODELS_DIR": str(TEST_MODELS_DIR)}
        with running(["serve", "--data", tmp_path, "--port", "0", "--workers", "1"], environment=environment) as server:
            asked = {"pipeline": "match", "products": str(shelf / "products"), "videos": str(shelf / "videos")}
            answer = httpx.post(f"{server.told['url']}/jobs", json=asked, timeout=30)
            assert answer.status_code == 400
            assert "REELWORK_SOURCE_FOLDERS" in answer.json()["detail"]


@contextlib.contextmanager
def services(data: Path, environment: Mapping[str, str]) -> Iterator[dict[str, Running]]:
    """Every service in processes of its own, by the first of its names."""
    with ExitStack() as opened:
        yield {
            names[0]: opened.enter_context(
                running(["worker", *names, "--data", data, "--concurrency", "1"], environment=environment)
            )
            for names in SERVICES_OF_PROCESSES
        }


def changes(ledger: Ledger, job_id: str) -> Iterator[dict[str, StageStatus]]:
    """The stages of a job after every commit, until it is over; a ring that is lost costs some milliseconds."""
    deadline = time.monotonic() + JOB_SECONDS_MAX
    with contextlib.closing(ledger.database.listen()) as listener:  # type: ignore[attr-defined]
        while not ledger.job(job_id).status.is_terminal:
            assert time.monotonic() < deadline, ledger.stage_status(job_id)
            yield {stage.stage: stage for stage in ledger.stage_status(job_id)}
            select.select([listener], [], [], 0.05)
            listener.take()


def test_vision_services_killed_in_the_middle_cost_nothing(
    shelf: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    victims = {
        "product-segmentor": "image.masks",
        "vision-embedding": "video.embeddings",
        "vision-keypoint": "video.keypoints",
    }
    settings = {**environment, "COMPLETION_THRESHOLD_PERCENTAGE": "100"}
    killed: dict[str, int] = {}
    with (
        running(["serve", "--data", tmp_path, "--port", "0", "--workers", "0"], environment=settings) as server,
        services(tmp_path, settings) as processes,
    ):
        asked = {"pipeline": "match", "products": str(shelf / "products"), "videos": str(shelf / "videos")}
        answer = httpx.post(f"{server.told['url']}/jobs", json=asked, timeout=30)
        job_id = answer.raise_for_status().json()["job_id"]
        ledger = open_ledger(f"sqlite:///{tmp_path}/reelwork.db")
        for stages in changes(ledger, job_id):
            for service, stage in victims.items():
                seen = stages.get(stage)
                if service in killed or seen is None or seen.expected is None:
                    continue
                for worker in processes[service].workers():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        os.kill(worker.pid, signal.SIGKILL)
                        killed[service] = seen.done
        job = ledger.job(job_id)
        status = {stage.stage: stage for stage in ledger.stage_status(job_id)}
        topics = [row.topic for row in ledger.outbox(job_id) if not row.is_replay]
        ledger.close()
    assert job.status == "completed", job
    assert set(killed) == set(victims)
    for stage in STAGES:
        completion = status[stage].completion
        assert completion is not None
        assert (completion.processed_assets, completion.reason) == (completion.total_assets, "all")
        assert topics.count(completion.topic) == 1
