"""Four worker processes that share the services of the match pipeline, and a server that works on nothing itself."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import psutil

from reelwork.ledger import Ledger, StageStatus, open_ledger
from tests.e2e.commands import Running, running
from tests.weights import TEST_MODELS_DIR

SERVICES_OF_PROCESSES: Final = (
    ("match-planner", "product-finder", "video-crawler", "matcher", "evidence-builder"),
    ("product-segmentor",),
    ("vision-embedding",),
    ("vision-keypoint",),
)
VICTIMS: Final = {
    "product-segmentor": "image.masks",
    "vision-embedding": "video.embeddings",
    "vision-keypoint": "video.keypoints",
}
"""The vision services, and a stage of each in the middle of which it is killed."""


class MatchFleet:
    """killed: by service, how many assets of how many its stage had when its worker was killed."""

    def __init__(self, url: str, ledger: Ledger, workers: Mapping[str, Running]) -> None:
        self._url = url
        self.ledger = ledger
        self._workers = workers
        self.killed: dict[str, tuple[int, int]] = {}

    def run(self, shelf: Path, *, seconds_max: float, kill: bool = False) -> tuple[str, float]:
        """A job on all that is there; its id, and the seconds from submit to end."""
        asked = {"pipeline": "match", "products": str(shelf / "products"), "videos": str(shelf / "videos")}
        began = time.monotonic()
        answer = httpx.post(f"{self._url}/jobs", json=asked, timeout=30)
        job_id: str = answer.raise_for_status().json()["job_id"]
        for _ in self._changes(job_id, seconds_max):
            for service in VICTIMS.keys() - self.killed.keys() if kill else ():
                self._kill_in_the_middle(service, job_id)
        return job_id, time.monotonic() - began

    def _changes(self, job_id: str, seconds_max: float) -> Iterator[None]:
        """After every commit until the job is over; a ring that is lost costs some milliseconds."""
        deadline = time.monotonic() + seconds_max
        with contextlib.closing(self.ledger.database.listen()) as listener:  # type: ignore[attr-defined]
            while not self.ledger.job(job_id).status.is_terminal:
                assert time.monotonic() < deadline, self.ledger.stage_status(job_id)
                yield
                select.select([listener], [], [], 0.05)
                listener.take()

    def _kill_in_the_middle(self, service: str, job_id: str) -> None:
        """Only while its stage is half done, which is read while the worker stands still."""
        if not _is_in_the_middle(self._stage(job_id, service)):
            return
        (worker,) = self._workers[service].workers()
        worker.suspend()
        stage = self._stage(job_id, service)
        if not _is_in_the_middle(stage):
            worker.resume()
            return
        assert stage is not None
        assert stage.expected is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            os.kill(worker.pid, signal.SIGKILL)
            self.killed[service] = (stage.done, stage.expected)

    def _stage(self, job_id: str, service: str) -> StageStatus | None:
        found = (stage for stage in self.ledger.stage_status(job_id) if stage.stage == VICTIMS[service])
        return next(found, None)


def _is_in_the_middle(stage: StageStatus | None) -> bool:
    """Its second third, or a little behind it: what is done lies there, and something is left to do."""
    return stage is not None and stage.expected is not None and stage.expected <= 3 * stage.done < 3 * stage.expected


@contextmanager
def match_fleet(data: Path, shelf: Path, *, threshold: str) -> Iterator[MatchFleet]:
    """On a data folder that may have been used before. threshold: COMPLETION_THRESHOLD_PERCENTAGE."""
    environment = {
        "REELWORK_MODELS_DIR": str(TEST_MODELS_DIR),
        "REELWORK_SOURCE_FOLDERS": str(shelf),
        "COMPLETION_THRESHOLD_PERCENTAGE": threshold,
        "OPENBLAS_NUM_THREADS": "1",
    }
    with ExitStack() as opened:
        serving = ["serve", "--data", data, "--port", "0", "--workers", "0"]
        server = opened.enter_context(running(serving, environment=environment))
        workers = {
            names[0]: opened.enter_context(
                running(["worker", *names, "--data", data, "--concurrency", "1"], environment=environment)
            )
            for names in SERVICES_OF_PROCESSES
        }
        ledger = opened.enter_context(contextlib.closing(open_ledger(f"sqlite:///{data}/reelwork.db")))
        yield MatchFleet(server.told["url"], ledger, workers)
