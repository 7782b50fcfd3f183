"""The whole match pipeline in one process, on a folder, with products and videos drawn for the test."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import av
import numpy as np

from reelwork.ledger import AssetRecord, Job, StageStatus
from reelwork.objects.keys import artifact_key, results_key
from reelwork.pipelines.match.pipeline import pipeline
from reelwork.runtime import Catalogue
from reelwork.runtime.backends import Backends, open_backends
from reelwork.runtime.jobs import Jobs
from reelwork.runtime.relay import Relay
from reelwork.runtime.world import World
from reelwork.settings import Config
from reelwork.vision.opencv import Picture, cv2
from tests.clock import ManualClock
from tests.house import with_database

WIDTH, HEIGHT, FRAMES_PER_SECOND = 320, 240, 5
ROUNDS_MAX = 40
COLLECTING = ("match-planner", "product-finder", "video-crawler")


def texture(seed: int, size: int = 120) -> Picture:
    """A picture like no other: blobs and lines whose corners are found again."""
    noise = np.random.default_rng(seed)
    picture = cv2.resize(noise.integers(0, 255, (12, 12, 3), np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
    for _ in range(12):
        start, end = noise.integers(0, size, 2), noise.integers(0, size, 2)
        colour = [int(value) for value in noise.integers(0, 255, 3)]
        cv2.line(picture, start.tolist(), end.tolist(), colour, 2)
    return picture


def write_product(folder: Path, name: str, *pictures: Picture) -> None:
    (folder / name).mkdir(parents=True)
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(folder / name / f"{number}.png"), picture)


def write_video(path: Path, product: Picture | None, *, seconds: int = 3, seed: int = 0) -> Path:
    """A product that moves over a background of its own, and sometimes is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    background = cv2.resize(texture(1000 + seed, 60), (WIDTH, HEIGHT))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "12"}
        for number in range(seconds * FRAMES_PER_SECOND):
            picture = np.roll(background, 6 * number, axis=1)
            if product is not None:
                left = 10 + 5 * number % (WIDTH - 140)
                picture[60 : 60 + product.shape[0], left : left + product.shape[1]] = product
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@dataclass(kw_only=True)
class MatchHouse:
    """Nothing happens but what the test asks for."""

    backends: Backends
    clock: ManualClock
    threads: ThreadPoolExecutor
    relay: Relay

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.backends.ledger, self.backends.catalogue)

    def submit(self, products: Sequence[Path], videos: Sequence[Path], **parameters: Any) -> str:
        given = {"products": list(map(str, products)), "videos": list(map(str, videos)), **parameters}
        checked = self.jobs.check("match", given).model_dump(mode="json")
        return self.jobs.create("match", job_id=uuid4(), input_path="", parameters=checked)

    async def step(self, *queues: str) -> int:
        """Handles what can be taken now, of these queues or of all; returns how many deliveries that were."""
        count = 0
        for subscription in self.backends.catalogue.subscriptions:
            if queues and subscription.queue not in queues:
                continue
            await self.relay.publish_batch()
            for delivery in await self.backends.broker.receive(subscription.queue, limit=100, wait_seconds=0):
                await self.backends.handling(self.threads).handle(subscription, delivery)
                count += 1
        return count

    async def collect(self) -> None:
        """Works until everything is collected and sent out, and nobody has looked at it."""
        queues = [s.queue for s in self.backends.catalogue.subscriptions if s.service in COLLECTING]
        while await self.step(*queues):
            pass

    async def finish(self, job_id: str) -> Job:
        """Works until the job is over."""
        for _ in range(ROUNDS_MAX):
            while await self.step():
                pass
            await self.backends.sweeper(self.relay).sweep()
            job = self.backends.ledger.job(job_id)
            if job.status.is_terminal:
                return job
            self.clock.advance(100)
        letters = [(letter.queue, letter.error) for letter in self.backends.ledger.dead_letters(job_id)]
        raise AssertionError(f"the job is not over: {job}; {letters}; {self.count(job_id)}")

    def assets(self, job_id: str, stage: str) -> dict[str, AssetRecord]:
        return {asset.asset_id: asset for asset in self.backends.ledger.assets(job_id, stage)}

    def reused(self, job_id: str) -> dict[str, set[bool]]:
        """By stage of things that are kept by content, whether they were there already."""
        stages = [*self.stages(job_id)]
        found = {
            stage: {asset.result["reused"] for asset in self.assets(job_id, stage).values() if asset.result is not None}
            for stage in stages
            if stage.startswith(("image.", "video.", "videos."))
        }
        return {stage: answers for stage, answers in found.items() if answers}

    def stages(self, job_id: str) -> dict[str, StageStatus]:
        return {stage.stage: stage for stage in self.backends.ledger.stage_status(job_id)}

    def topics(self, job_id: str) -> list[str]:
        return [row.topic for row in self.backends.ledger.outbox(job_id) if not row.is_replay]

    def count(self, job_id: str) -> Counter[str]:
        return Counter(self.topics(job_id))

    def bodies(self, job_id: str, topic: str) -> list[dict[str, Any]]:
        return [json.loads(row.body) for row in self.backends.ledger.outbox(job_id) if row.topic == topic]

    def results(self, job_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.backends.objects.get(results_key(job_id)))
        return found

    def notes(self, job_id: str) -> list[str]:
        """But for the one that says that GrabCut made the masks, which is so in all these jobs."""
        notes: list[str] = json.loads(self.artifact(job_id, "notes.json"))
        return [note for note in notes if "GrabCut" not in note]

    def artifact(self, job_id: str, name: str) -> bytes:
        return self.backends.objects.get(artifact_key(job_id, name))


@asynccontextmanager
async def open_match_house(folder: Path, *, url: str | None = None, **settings: Any) -> AsyncIterator[MatchHouse]:
    """url: of a database with its schema; None = one of SQLite in the folder."""
    clock = ManualClock()
    with ThreadPoolExecutor(1) as executor, ThreadPoolExecutor(2) as threads:
        world = World(clock=clock, random=Random(0), executor=executor)
        place = {"REELWORK_DATA_DIR": with_database(folder)} if url is None else {"REELWORK_DATABASE_URL": url}
        settings = {"REELWORK_DATA_DIR": folder, **place, **settings}
        backends = await open_backends(Config(**settings), catalogue=Catalogue.of([pipeline]), world=world)
        try:
            yield MatchHouse(backends=backends, clock=clock, threads=threads, relay=backends.relay())
        finally:
            await backends.close()
