"""`reelwork match` and its services as their users meet them: files in, matches and a report out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from reelwork.vision.opencv import cv2
from tests.e2e.commands import reelwork, running
from tests.pipelines.match.job.house import texture, write_product, write_video
from tests.weights import ENCODER_ALONE_DIR, pull_encoder_alone

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


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three products, and three videos of which two have one of them."""
    pull_encoder_alone()
    folder = tmp_path_factory.mktemp("shelf")
    for number, name in enumerate(("red mug", "blue-box", "green-tin")):
        write_product(folder / "products", name, texture(number))
    write_video(folder / "videos" / "kitchen.mp4", texture(0), seconds=12)
    write_video(folder / "videos" / "cellar.mp4", texture(2), seconds=12, seed=3)
    write_video(folder / "videos" / "garden.mp4", None, seconds=12, seed=5)
    return folder


@pytest.fixture
def environment(shelf: Path) -> Mapping[str, str]:
    return {"REELWORK_MODELS_DIR": str(ENCODER_ALONE_DIR), "REELWORK_SOURCE_FOLDERS": str(shelf)}


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

    def test_what_stands_in_the_way_of_the_pictures_is_told(
        self, shelf: Path, tmp_path: Path, environment: Mapping[str, str]
    ) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "evidence").write_text("a file")
        folders = ["--products", shelf / "products", "--videos", shelf / "videos", "--out", tmp_path / "out"]
        ended = reelwork("match", *folders, "--json", environment=environment)
        assert ended.status == 2, ended
        assert "cannot write to the folder" in ended.document["error"]

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

    def test_bad_things_cost_themselves_and_are_named(
        self, shelf: Path, tmp_path: Path, environment: Mapping[str, str]
    ) -> None:
        bad = write_bad_things(tmp_path / "bad")
        folders = ["--products", shelf / "products", "--products", bad / "products"]
        folders += ["--videos", shelf / "videos", "--videos", bad / "videos", "--out", tmp_path / "out"]
        ended = reelwork("match", *folders, "--json", environment=environment)
        assert ended.status == 0, ended
        found = ended.document
        assert pairs(found["results"]) == FOUND
        assert (found["products"], found["images"], found["videos"]) == (4, 3 + len(UNUSUAL), 3)
        assert json.loads((tmp_path / "out" / "notes.json").read_text()) == found["notes"]
        for name, reason in BAD.items():
            (note,) = [note for note in found["notes"] if name in note]
            assert reason in note
        (note,) = [note for note in found["notes"] if "GrabCut" in note]
        assert len(found["notes"]) == len(BAD) + 1
        assert all(name in (tmp_path / "out" / "report.html").read_text() for name in BAD)

    def test_two_at_once_on_one_data_folder_read_each_what_it_was_given_and_links_in_it(
        self, shelf: Path, tmp_path: Path, environment: Mapping[str, str]
    ) -> None:
        (tmp_path / "mug").mkdir()
        (tmp_path / "mug" / "red: mug").symlink_to(shelf / "products" / "red mug")
        (tmp_path / "mug" / "kitchen.mp4").symlink_to(shelf / "videos" / "kitchen.mp4")
        mugs, tins = (
            ["--products", tmp_path / "mug", "--videos", tmp_path / "mug"],
            [
                *("--products", shelf / "products"),
                *("--videos", shelf / "videos" / "cellar.mp4"),
            ],
        )
        models = {"REELWORK_MODELS_DIR": environment["REELWORK_MODELS_DIR"]}
        ended = []
        with ThreadPoolExecutor(2) as threads:
            for name, folders in (("mugs", mugs), ("tins", tins)):
                told = ["--data", tmp_path / "data", "--out", tmp_path / name, "--json"]
                ended.append(threads.submit(reelwork, "match", *folders, *told, environment=models))
        mug, tin = (one.result() for one in ended)
        assert (mug.status, tin.status) == (0, 0), (mug, tin)
        assert pairs(mug.document["results"]) == {("red: mug", "kitchen")}
        assert pairs(tin.document["results"]) == {("green-tin", "cellar")}

    @pytest.mark.parametrize("missing", ["products", "videos"])
    def test_an_empty_folder_ends_in_an_explanation(
        self, shelf: Path, tmp_path: Path, environment: Mapping[str, str], missing: str
    ) -> None:
        empty = tmp_path / "empty"
        empty.mkdir()
        given = {"products": shelf / "products", "videos": shelf / "videos", missing: empty}
        folders = ["--products", given["products"], "--videos", given["videos"], "--out", tmp_path / "out"]
        ended = reelwork("match", *folders, environment=environment)
        assert ended.status == 0, ended
        assert "0 matches" in ended.stdout
        assert f"no {missing} were found" in ended.stdout
        assert f"the folder holds no {'pictures' if missing == 'products' else 'videos'}" in ended.stdout
        assert json.loads((tmp_path / "out" / "matches.json").read_text()) == []


UNUSUAL = ("cmyk.jpg", "sixteen-bits.png", "transparent.png", "animated.gif")
BAD = {
    "corrupt.png": "damaged",
    "drawing.svg": "SVG",
    "hundred-megapixels.png": "pixels",
    "no-picture": "no usable picture",
    "empty-folder": "holds no pictures",
    "torn": "video",
    "page": "video",
}
"""By a word of its name, and what is said of it."""


def write_bad_things(folder: Path) -> Path:
    """One product with pictures that are unusual and some of no use, and others of which nothing can be used."""
    products, videos = folder / "products", folder / "videos"
    for name in ("odd", "no-picture", "empty-folder"):
        (products / name).mkdir(parents=True)
    videos.mkdir()
    odd = products / "odd"
    pictures = [Image.fromarray(texture(number)) for number in range(10, 10 + len(UNUSUAL))]
    pictures[0].convert("CMYK").save(odd / "cmyk.jpg")
    cv2.imwrite(str(odd / "sixteen-bits.png"), texture(11).astype("uint16") * 257)
    pictures[2].putalpha(128)
    pictures[2].save(odd / "transparent.png")
    pictures[3].save(odd / "animated.gif", save_all=True, append_images=pictures[:1])
    Image.new("1", (10_000, 10_000)).save(odd / "hundred-megapixels.png")
    (odd / "corrupt.png").write_bytes((odd / "transparent.png").read_bytes()[:200])
    (odd / "drawing.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>')
    (products / "no-picture" / "0.png").write_text("not a picture")
    (videos / "torn.mp4").write_bytes(b"\0\0\0\x20ftypisom" + b"torn" * 1000)
    (videos / "page.mp4").write_text("<!doctype html><p>Sign in to watch")
    return folder


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
        environment = {"REELWORK_MODELS_DIR": str(ENCODER_ALONE_DIR)}
        with running(["serve", "--data", tmp_path, "--port", "0", "--workers", "1"], environment=environment) as server:
            asked = {"pipeline": "match", "products": str(shelf / "products"), "videos": str(shelf / "videos")}
            answer = httpx.post(f"{server.told['url']}/jobs", json=asked, timeout=30)
            assert answer.status_code == 400
            assert "REELWORK_SOURCE_FOLDERS" in answer.json()["detail"]
