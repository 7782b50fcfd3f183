"""What a match job costs beyond its work: frames a second of the pipeline, beside a bare loop over the same models.

    python benchmarks/match_pipeline.py [--products N] [--videos N] [--seconds N] [--workers N] [--pairs N] [--data DIR]
        [--json]

The job: a warm node (relay, sweeper, worker processes), from submit to the last match: collected, masks off, embedded,
described, matched, with every feature stored. The yardstick: as many warm processes, to which one loop hands the same
pictures: videos to be decoded, frames to be embedded and described, videos to be searched; nothing stored, nothing
counted. A second job on the same things is measured too: what it makes again, and how long it takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import av
import numpy as np
from measuring import CACHE, PAIRS_MIN, alternated, scratch_folder, where, where_in_words

from reelwork.ledger import JobStatus
from reelwork.media import probe_in_child
from reelwork.pipelines.match import stages
from reelwork.pipelines.match.features import decoded, vector_from_bytes
from reelwork.pipelines.match.matching import (
    FrameFeatures,
    ImageFeatures,
    ProductFeatures,
    Template,
    VideoFeatures,
    find_matches_in_video,
)
from reelwork.pipelines.match.video_crawler import _jpeg
from reelwork.pipelines.match.videos import keyframes_of
from reelwork.pipelines.match.vision_embedding import extractor as embedding
from reelwork.pipelines.match.vision_keypoint import extractor as keypoints
from reelwork.runtime.backends import Backends, open_backends
from reelwork.runtime.jobs import Jobs
from reelwork.runtime.log import configure_log
from reelwork.runtime.node import run_node
from reelwork.settings import Config
from reelwork.vision import pull_model
from reelwork.vision.keypoints import Keypoints
from reelwork.vision.opencv import Picture, cv2

GOAL_RATIO = 0.85
POLL_SECONDS = 0.02
JOB_SECONDS_MAX = 1_800
WIDTH, HEIGHT, RATE = 640, 360, 10
PRODUCT_SIDE = 180
FRAMES_A_TASK = 8
Features = tuple[bytes, bytes]


def texture(seed: int, width: int, height: int) -> Picture:
    """A picture with corners of all sizes that no other seed gives."""
    noise = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.uint8)
    for cells in (4, 12, 36):
        blocks = noise.integers(0, 255, (cells, cells, 3), np.uint8)
        picture = picture // 2 + cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST) // 2
    return picture


def write_shelf(folder: Path, *, products: int, videos: int, seconds: int) -> tuple[Path, Path]:
    """Products, and videos each of which shows one of them."""
    pictures = [texture(number, PRODUCT_SIDE, PRODUCT_SIDE) for number in range(products)]
    (folder / "products").mkdir(parents=True)
    (folder / "videos").mkdir()
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(folder / "products" / f"product{number:03d}x.png"), picture)
    for number in range(videos):
        _write_video(
            folder / "videos" / f"video{number:03d}.mp4", pictures[number % products], 10_000 + number, seconds
        )
    return folder / "products", folder / "videos"


def _write_video(path: Path, product: Picture, seed: int, seconds: int) -> None:
    background = texture(seed, WIDTH, HEIGHT)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(seconds * RATE):
            picture = np.roll(background, 3 * number, axis=1)
            left = 3 * number % (WIDTH - PRODUCT_SIDE)
            picture[90 : 90 + PRODUCT_SIDE, left : left + PRODUCT_SIDE] = product
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))


@dataclass(frozen=True)
class JobRun:
    """seconds: to the last match. reused: by stage, how many assets were there already, and how many there are."""

    seconds: float
    frames: int
    matches: int
    completions: dict[str, int]
    reused: dict[str, tuple[int, int]]


class Node:
    """What `reelwork serve` runs, less its HTTP, on a loop in a thread."""

    def __init__(self, config: Config, *, workers: int) -> None:
        self._config = config
        self._workers = workers
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, Backends]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="node")

    def __enter__(self) -> Node:
        self._thread.start()
        self._loop, self._stop, self.backends = self._started.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        backends = await open_backends(self._config)
        stop = asyncio.Event()
        self._started.set_result((asyncio.get_running_loop(), stop, backends))
        await run_node(backends, stop, workers=self._workers)
        await backends.close()

    def forget(self) -> None:
        """So that the next job has to look at everything."""
        objects = self.backends.objects
        objects.delete([key for kind in ("frames/", "features/") for key in objects.keys(kind)])

    def run_job(self, products: Path, videos: Path) -> JobRun:
        job = self._run_job(products, videos)
        return asyncio.run_coroutine_threadsafe(job, self._loop).result(JOB_SECONDS_MAX)

    async def _run_job(self, products: Path, videos: Path) -> JobRun:
        ledger, read = self.backends.ledger, self.backends.recorder.read
        jobs = Jobs(ledger, self.backends.catalogue)
        began_at = time.time()
        given = {"products": str(products), "videos": str(videos), "masks": "off"}
        checked = jobs.check("match", given).model_dump(mode="json")
        job_id = await read(lambda: jobs.create("match", job_id=uuid4(), input_path="", parameters=checked))
        while not (job := await read(ledger.job, job_id)).status.is_terminal:
            await asyncio.sleep(POLL_SECONDS)
        assert job.status is JobStatus.COMPLETED, job.error_message
        status = {stage.stage: stage for stage in ledger.stage_status(job_id)}
        topics = [row.topic for row in ledger.outbox(job_id)]
        matched_at = status[stages.MATCHES].completed_at
        assert matched_at is not None
        return JobRun(
            seconds=matched_at / 1000 - began_at,
            frames=status[stages.VIDEOS].done_weight,
            matches=status[stages.MATCHES].done_weight,
            completions={
                name: topics.count(stage.completion.topic) for name, stage in status.items() if stage.completion
            },
            reused={name: self._reused(job_id, name) for name in (stages.VIDEOS, *LOOKED_AT)},
        )

    def _reused(self, job_id: str, stage: str) -> tuple[int, int]:
        answers = [asset.result["reused"] for asset in self.backends.ledger.assets(job_id, stage) if asset.result]
        return sum(answers), len(answers)


LOOKED_AT = (stages.IMAGE_EMBEDDINGS, stages.IMAGE_KEYPOINTS, stages.VIDEO_EMBEDDINGS, stages.VIDEO_KEYPOINTS)


def frames_of(path: Path) -> list[tuple[str, float, bytes]]:
    return [(f.frame_id, f.ts, _jpeg(f.image)) for f in keyframes_of(path, index=probe_in_child(path).index)]


def features_of(pictures: list[bytes]) -> list[Features]:
    return [(embedding().extract(decoded(one), None), keypoints().extract(decoded(one), None)) for one in pictures]


def search(
    video: str,
    frames: list[tuple[str, float, bytes]],
    features: list[Features],
    names: list[str],
    pictures: list[bytes],
    own: list[Features],
) -> int:
    products = _products(tuple(names), tuple(pictures), tuple(own))
    seen = [
        FrameFeatures(frame_id, ts, vector_from_bytes(vector), Keypoints.from_bytes(points), partial(decoded, data))
        for (frame_id, ts, data), (vector, points) in zip(frames, features, strict=True)
    ]
    return len(find_matches_in_video(products, VideoFeatures(video, seen)))


@lru_cache(1)
def _products(names: tuple[str, ...], pictures: tuple[bytes, ...], own: tuple[Features, ...]) -> list[ProductFeatures]:
    def image(name: str, data: bytes, vector: bytes, points: bytes) -> ImageFeatures:
        template = cache(partial(_template, data))
        return ImageFeatures(name, vector_from_bytes(vector), Keypoints.from_bytes(points), template)

    return [
        ProductFeatures(name, [image(name, data, *features)])
        for name, data, features in zip(names, pictures, own, strict=True)
    ]


def _template(data: bytes) -> Template:
    picture = decoded(data)
    return Template.of(picture, np.ones(picture.shape[:2], np.bool_))


class Bare:
    """The yardstick: warm processes, and one loop that hands out work."""

    def __init__(self, workers: int) -> None:
        self._pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))

    def __enter__(self) -> Bare:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def run(self, products: Path, videos: Path) -> tuple[float, int]:
        """Seconds and matches."""
        began = time.perf_counter()
        paths = sorted(products.iterdir())
        pictures = [path.read_bytes() for path in paths]
        images = self._in_parts(pictures)
        names = sorted(videos.iterdir())
        frames = list(self._pool.map(frames_of, names))
        described = self._in_parts([data for video in frames for _, _, data in video])
        own = list(images)
        features = list(described)
        parts = list(_split(features, [len(video) for video in frames]))
        searches = [
            self._pool.submit(search, path.stem, video, part, [path.stem for path in paths], pictures, own)
            for path, video, part in zip(names, frames, parts, strict=True)
        ]
        matches = sum(one.result() for one in searches)
        return time.perf_counter() - began, matches

    def _in_parts(self, pictures: list[bytes]) -> Iterator[Features]:
        parts = [pictures[first : first + FRAMES_A_TASK] for first in range(0, len(pictures), FRAMES_A_TASK)]
        for part in self._pool.map(features_of, parts):
            yield from part


def _split(features: list[Features], lengths: list[int]) -> Iterator[list[Features]]:
    first = 0
    for length in lengths:
        yield features[first : first + length]
        first += length


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=20)
    parser.add_argument("--videos", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=30, help="of each video (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=PAIRS_MIN)
    parser.add_argument("--data", type=Path, default=CACHE, help="folder on the disk to be measured (default: .cache)")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    arguments = parser.parse_args()
    configure_log("warning")
    pull_model("efficientnet-lite0")
    with scratch_folder(arguments.data) as folder:
        place = where(folder)
        print(where_in_words(place), file=sys.stderr)
        products, videos = write_shelf(
            folder / "shelf", products=arguments.products, videos=arguments.videos, seconds=arguments.seconds
        )
        os.environ["REELWORK_SOURCE_FOLDERS"] = str(folder)
        report = measure(folder, products, videos, arguments)
        print(json.dumps(report, indent=2) if arguments.json else in_words(report))
    return 0


def in_words(report: dict[str, Any]) -> str:
    ratio, again = report["pipeline / bare loop"], report["second run"]
    reused = ", ".join(f"{name} {there} of {total}" for name, (there, total) in again["reused of all"].items())
    verdict = "reached" if ratio["median"] >= ratio["goal"] else "MISSED"
    return f"""\
{report["frames"]} frames, {report["matches"]} matches; completions: {report["completions of each stage"]}
frames a second: pipeline {report["frames a second, pipeline"]}, bare loop {report["frames a second, bare loop"]}
pipeline / bare loop: {ratio["median"]} ({ratio["lowest"]} to {ratio["highest"]}); goal {ratio["goal"]}: {verdict}
second run: {again["seconds"]} s where the first took {again["first run, seconds"]} s; reused: {reused}"""


def measure(folder: Path, products: Path, videos: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    config = Config(REELWORK_DATA_DIR=folder / "data", REELWORK_LOG_LEVEL="warning")
    runs: list[JobRun] = []
    with Bare(arguments.workers) as bare, Node(config, workers=arguments.workers) as node:

        def job() -> float:
            node.forget()
            runs.append(node.run_job(products, videos))
            return runs[-1].seconds

        def loop() -> float:
            seconds, matches = bare.run(products, videos)
            assert not runs or matches == runs[-1].matches, (matches, runs[-1].matches)
            return seconds

        pairs = alternated(job, loop, arguments.pairs)
        again = node.run_job(products, videos)
    ratios = sorted(second / first for first, second in zip(pairs.first, pairs.second, strict=True))
    frames = runs[-1].frames
    return {
        "frames": frames,
        "matches": runs[-1].matches,
        "completions of each stage": runs[-1].completions,
        "frames a second, pipeline": round(frames / sorted(pairs.first)[len(pairs.first) // 2], 1),
        "frames a second, bare loop": round(frames / sorted(pairs.second)[len(pairs.second) // 2], 1),
        "pipeline / bare loop": {
            "median": round(ratios[len(ratios) // 2], 3),
            "lowest": round(ratios[0], 3),
            "highest": round(ratios[-1], 3),
            "goal": GOAL_RATIO,
        },
        "second run": {
            "seconds": round(again.seconds, 2),
            "first run, seconds": round(runs[-1].seconds, 2),
            "reused of all": again.reused,
        },
    }


if __name__ == "__main__":
    sys.exit(main())
