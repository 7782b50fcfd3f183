"""A server on real back ends with a tiny pipeline, asked over ASGI. Tests move jobs by the ledger, as workers do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, ConfigDict, Field

from reelwork import Context, Phase, Pipeline, Service
from reelwork.api.app import create_app
from reelwork.api.state import State
from reelwork.errors import ModelMissing, UnknownAnalyzer
from reelwork.events import VideoRangeReady, VideoRangesBatch, VideoRangesCompleted, VideoSubmitted
from reelwork.ledger import (
    AssetOutcome,
    CompletionPolicy,
    Job,
    JobMove,
    JobStatus,
    Ledger,
    NewDeadLetter,
    StageUpdate,
    Work,
)
from reelwork.runtime.backends import Backends, open_backends
from reelwork.runtime.declaration import Catalogue
from reelwork.runtime.world import World
from reelwork.settings import Config
from tests.clips import write_clip

PARTS = "tiny.parts"


class TinyParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pipeline_id: str = "small"
    frame_stride: int = Field(1, ge=1)
    max_frames: int | None = Field(None, ge=1)


class ManyParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pictures: list[str]
    clips: list[str] = []
    colour: str = "red"


def sorted_files(files: Mapping[str, str]) -> list[str]:
    return [f"{name} at {key}" for name, key in sorted(files.items())]


def check(parameters: TinyParameters) -> None:
    if parameters.pipeline_id == "large":
        raise ModelMissing("weights are not on this machine; fetch them with: reelwork models pull large")
    if parameters.pipeline_id != "small":
        raise UnknownAnalyzer(f"there is no analyzer {parameters.pipeline_id!r}; known analyzers: large, small")


def details(job: Job, ledger: Ledger) -> Mapping[str, Any]:
    return {"missing_frames": [{"start": stage.done, "reason": "noise"} for stage in ledger.stage_status(job.job_id)]}


def tiny_catalogue() -> Catalogue:
    service = Service("tiny")

    @service.on(VideoSubmitted, queue="q.tiny.jobs")
    def handle_video_submitted(event: VideoSubmitted, context: Context) -> None: ...

    @service.stage(PARTS, announced_by=VideoRangesBatch, completes_with=VideoRangesCompleted)
    @service.on(VideoRangeReady, queue="q.tiny.parts")
    def handle_video_range_ready(event: VideoRangeReady, context: Context) -> None: ...

    phases = (Phase(name="parts", stages=(PARTS,), share=0.9), Phase(name="results", stages=None, share=0.1))
    made = {"parameters": TinyParameters, "submitted": VideoSubmitted, "phases": phases}
    return Catalogue.of(
        [
            Pipeline(name="analyze", services=(service,), check=check, details=details, **made),
            Pipeline(name="other", services=(), **made),
            Pipeline(
                name="many",
                services=(),
                **{**made, "parameters": ManyParameters},
                files={"pictures": sorted_files, "clips": sorted_files},
            ),
        ]
    )


class Server:
    def __init__(self, backends: Backends) -> None:
        self.backends = backends
        self.app = create_app(backends)
        self.ledger = backends.ledger
        self.objects = backends.objects
        self.state: State = self.app.state.reelwork

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with self.client() as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def submit(self, video: bytes, **options: Any) -> str:
        answer = self.post("/video/submit", files={"file": video}, **options)
        assert answer.status_code == 200, answer.text
        job_id: str = answer.json()["job_id"]
        return job_id

    def stored_files(self) -> list[Path]:
        """Everything in the object folder, half-written files and empty folders included."""
        return list((self.backends.config.REELWORK_DATA_DIR / "objects").rglob("*"))

    def leftovers(self) -> tuple[list[Path], list[Job]]:
        return self.stored_files(), self.ledger.jobs()

    def start(self, job_id: str, *, expected: int = 2) -> None:
        move = JobMove(job_id=job_id, allowed=frozenset({JobStatus.PENDING}), to=JobStatus.RUNNING, phase="parts")
        self.ledger.commit(Work(moves=[move], stages=[parts(job_id, expected=expected)]))

    def record(self, job_id: str, *outcomes: AssetOutcome) -> None:
        self.ledger.commit(Work(stages=[parts(job_id, outcomes=outcomes)]))

    def complete(self, job_id: str, results: bytes) -> None:
        key = f"jobs/{job_id}/results.json"
        self.objects.put(key, results)
        allowed = frozenset({JobStatus.RUNNING})
        move = JobMove(job_id=job_id, allowed=allowed, to=JobStatus.COMPLETED, phase="results", output_path=key)
        self.ledger.commit(Work(moves=[move]))

    def fail(self, job_id: str, reason: str) -> None:
        allowed = frozenset({JobStatus.PENDING, JobStatus.RUNNING})
        move = JobMove(job_id=job_id, allowed=allowed, to=JobStatus.FAILED, error_message=reason)
        self.ledger.commit(Work(moves=[move]))


def parts(job_id: str, *, expected: int | None = None, outcomes: Sequence[AssetOutcome] = ()) -> StageUpdate:
    policy = CompletionPolicy(threshold_percentage=100)
    topic = "video.ranges.completed"
    return StageUpdate(job_id=job_id, stage=PARTS, topic=topic, policy=policy, expected=expected, outcomes=outcomes)


def dead_letter(job_id: str, **fields: Any) -> NewDeadLetter:
    known: dict[str, Any] = {
        "job_id": job_id,
        "queue": "q.tiny.jobs",
        "topic": "video.submitted",
        "event_id": f"event-of-{job_id}",
        "body": f'{{"job_id":"{job_id}"}}',
        "error": "RuntimeError: out of luck",
        "attempts": 5,
    }
    return NewDeadLetter(**{**known, **fields})


ServerMaker = Callable[..., Any]


@pytest.fixture
def make_server(tmp_path: Path) -> ServerMaker:
    @contextmanager
    def make(*, world: World | None = None, **settings: Any) -> Iterator[Server]:
        config = Config(REELWORK_DATA_DIR=tmp_path / "data", **settings)
        backends = asyncio.run(open_backends(config, catalogue=tiny_catalogue(), world=world))
        try:
            yield Server(backends)
        finally:
            asyncio.run(backends.close())

    return make


@pytest.fixture
def server(make_server: ServerMaker) -> Iterator[Server]:
    with make_server() as server:
        yield server


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4").read_bytes()
