"""Submits jobs over HTTP to a server that keeps dying, and asks after them; a request is repeated until it is answered.

Every submit has a key, so that one whose answer was lost makes no second job.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx

from reelwork.pipelines.analyze import VideoFilePipelineService
from tests.chaos import mosaic
from tests.clips import write_clip

OPEN_JOBS: Final = 4
ANSWER_SECONDS_MAX: Final = 90.0
REQUEST_SECONDS_MAX: Final = 20.0
AGAIN_SECONDS: Final = 0.1
TILES: Final = (25, 40, 55)
ANALYZERS: Final = "quality"
EVERY_SO_MANY_A_VIDEO: Final = 4


@dataclass(frozen=True, kw_only=True)
class Order:
    """A job to be submitted. tiles: None for a video that is analysed."""

    key: str
    tiles: int | None
    poisoned: bool = False

    @property
    def fields(self) -> dict[str, str]:
        if self.tiles is None:
            return {"pipeline_id": ANALYZERS}
        return {"pipeline": mosaic.NAME, "tiles": str(self.tiles), "poisoned": str(self.poisoned)}


class Clips:
    """tiny: what a mosaic is given, because a job needs a video. long: what is analysed, in several ranges."""

    def __init__(self, folder: Path) -> None:
        self.tiny = write_clip(folder / "tiny.mp4", frames=2).read_bytes()
        self._long = write_clip(folder / "long.mp4", frames=900, keyframe_interval=50)
        self.long = self._long.read_bytes()

    @cached_property
    def undisturbed(self) -> list[dict[str, Any]]:
        """The results of the long one."""
        return VideoFilePipelineService().run_on_file(self._long, ANALYZERS)

    def expected(self, order: Order) -> list[dict[str, Any]]:
        return self.undisturbed if order.tiles is None else mosaic.undisturbed(order.tiles)


class Customer:
    """`jobs` holds what was ordered, by job id. repeated: how many requests had to be made again."""

    def __init__(self, url: str, clips: Clips) -> None:
        self._client = httpx.Client(base_url=url, timeout=REQUEST_SECONDS_MAX)
        self._clips = clips
        self._has_closed = threading.Event()
        self._thread = threading.Thread(target=self._keep_ordering, daemon=True)
        self._error: BaseException | None = None
        self.jobs: dict[str, Order] = {}
        self.repeated = 0

    def __enter__(self) -> Customer:
        return self

    def __exit__(self, *_: object) -> None:
        self._has_closed.set()
        if self._thread.is_alive():
            self._thread.join()
        self._client.close()

    def open(self) -> None:
        """From now on there are always some jobs in work."""
        self._thread.start()

    def close(self) -> None:
        """Orders nothing more. Raises what kept it from ordering."""
        self._has_closed.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def order(self, order: Order) -> str:
        file = self._clips.long if order.tiles is None else self._clips.tiny
        job = self._call(
            lambda: self._client.post(
                "/jobs", headers={"Idempotency-Key": order.key}, data=order.fields, files={"file": file}
            )
        )
        self.jobs[job["job_id"]] = order
        return str(job["job_id"])

    def get(self, path: str, **parameters: Any) -> Any:
        return self._call(lambda: self._client.get(path, params=parameters))

    def post(self, path: str) -> Any:
        return self._call(lambda: self._client.post(path))

    def results(self, job_id: str) -> list[dict[str, Any]]:
        """Of a completed job."""
        results: list[dict[str, Any]] = self.get(f"/video/results/{job_id}")["results"]
        return results

    def letters(self) -> list[dict[str, Any]]:
        """Dead letters that nobody has replayed."""
        letters = self.get("/dead-letters", limit=1000)["dead_letters"]
        return [letter for letter in letters if letter["replayed_at"] is None]

    def wait_until_over(self, *, seconds_max: float) -> None:
        """Until every job has completed, or has failed with a dead letter that nobody has replayed. One that was
        replayed leaves its job failed until it is done.
        """
        deadline = time.monotonic() + seconds_max
        while jobs := self._jobs("pending", "running", "failed") - {letter["job_id"] for letter in self.letters()}:
            assert time.monotonic() < deadline, [self.get(f"/jobs/{job_id}") for job_id in jobs]
            time.sleep(AGAIN_SECONDS)

    def _jobs(self, *statuses: str) -> set[str]:
        return {job["job_id"] for job in self.get("/jobs", status=statuses, limit=200)["jobs"]}

    def _keep_ordering(self) -> None:
        try:
            while not self._has_closed.is_set():
                if len(self._jobs("pending", "running")) < OPEN_JOBS:
                    self.order(self._next_order())
                else:
                    self._has_closed.wait(AGAIN_SECONDS)
        except BaseException as error:
            self._error = error

    def _next_order(self) -> Order:
        number = len(self.jobs)
        is_video = number % EVERY_SO_MANY_A_VIDEO == EVERY_SO_MANY_A_VIDEO - 1
        return Order(
            key=f"order-{number}", tiles=None if is_video else TILES[number % len(TILES)], poisoned=number == 0
        )

    def _call(self, request: Callable[[], httpx.Response]) -> Any:
        """Until it is answered: the server may be gone, on its way up, or without its database."""
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while True:
            try:
                answer = request()
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return answer.raise_for_status().json()
                problem: object = answer.text
            except httpx.TransportError as error:
                problem = error
            assert time.monotonic() < deadline, problem
            self.repeated += 1
            time.sleep(AGAIN_SECONDS)
