"""Two services that look at the same frames, each on queues of its own, as the requirements name them; and a matcher
that waits for what they found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from reelwork.errors import PermanentError
from reelwork.events import Announcement, Asset, AssetEvent, Count, Event, StageCompleted
from reelwork.ledger import AssetState, CompletionPolicy, Job, StageStatus, Work
from reelwork.runtime import Context, Phase, Service
from tests.conformance.ledger.stores import Store
from tests.house import House, open_house, plain_service

EMBEDDINGS, KEYPOINTS = "video.embeddings", "video.keypoints"
EMBEDDING_FRAMES, KEYPOINT_FRAMES = "q.vision_embedding.keyframes", "q.vision_keypoint.keyframes"
EMBEDDING_BATCH, KEYPOINT_BATCH = f"{EMBEDDING_FRAMES}.batch", f"{KEYPOINT_FRAMES}.batch"
MATCHES = "q.matcher.requests"
TTL_SECONDS = 900.0


class VideosKeyframesReadyBatch(Announcement):
    topic = "videos.keyframes.ready.batch"

    total_frames: Count

    @property
    def expected(self) -> int:
        return self.total_frames


class Frame(BaseModel):
    frame_id: str
    ts: float
    key: str


class VideosKeyframesReady(AssetEvent):
    topic = "videos.keyframes.ready"

    video_id: str
    frames: list[Frame]

    def assets(self) -> Sequence[Asset]:
        return [Asset(frame.frame_id) for frame in self.frames]


class VideoEmbeddingsCompleted(StageCompleted):
    topic = "video.embeddings.completed"


class VideoKeypointsCompleted(StageCompleted):
    topic = "video.keypoints.completed"


class MatchRequest(Event):
    topic = "match.request"


@dataclass
class Seen:
    """What the handlers were called with. frames: how often each service saw each frame. matched: by the matcher."""

    frames: dict[str, Counter[str]] = field(default_factory=lambda: {EMBEDDINGS: Counter(), KEYPOINTS: Counter()})
    matched: list[int] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)


def vision_services(seen: Seen, policy: CompletionPolicy) -> list[Service]:
    def looking(stage: str) -> Callable[..., Any]:
        async def handle_videos_keyframes_ready(_event: VideosKeyframesReady, context: Context) -> None:
            assert context.asset is not None
            seen.frames[stage][context.asset.asset_id] += 1
            if context.asset.asset_id in seen.unreadable:
                raise PermanentError("unreadable")

        return handle_videos_keyframes_ready

    async def handle_match_request(event: MatchRequest, context: Context) -> None:
        states = [AssetState.DONE]
        seen.matched.append(len(list(context.ledger.assets(event.job_id, EMBEDDINGS, states=states))))

    async def handle_submitted(_event: Event, context: Context) -> None:
        if seen.unreadable:
            raise PermanentError("unreadable")
        context.start_job()

    embedding, keypoint, matcher = Service("vision-embedding"), Service("vision-keypoint"), Service("matcher")
    matcher.on(MatchRequest, queue=MATCHES)(handle_match_request)
    for service, stage, queue, completes_with in (
        (embedding, EMBEDDINGS, EMBEDDING_FRAMES, VideoEmbeddingsCompleted),
        (keypoint, KEYPOINTS, KEYPOINT_FRAMES, VideoKeypointsCompleted),
    ):
        handler = looking(stage)
        service.on(VideosKeyframesReady, queue=queue)(handler)
        service.stage(stage, announced_by=VideosKeyframesReadyBatch, completes_with=completes_with, policy=policy)(
            handler
        )
    return [embedding, keypoint, matcher, plain_service(handle_submitted)]


def request(job: Job) -> MatchRequest:
    return MatchRequest(job_id=job.job_id)


PHASES = (
    Phase(name="feature_extraction", stages=(EMBEDDINGS,)),
    Phase(name="matching", stages=None, request=request),
)


@dataclass
class Vision:
    """One process with both services, and a job whose frames they look at."""

    house: House
    seen: Seen
    job_id: str

    @property
    def status(self) -> StageStatus:
        return self.status_of(EMBEDDINGS)

    def status_of(self, stage: str) -> StageStatus:
        return next(found for found in self.house.backends.ledger.stage_status(self.job_id) if found.stage == stage)

    def batch(self, total: int) -> None:
        event = VideosKeyframesReadyBatch(job_id=self.job_id, event_id=uuid4(), total_frames=total)
        self.house.commit(Work(events=[event]))

    def send(self, frames: Sequence[str], *, frames_per_message: int = 1) -> None:
        for first in range(0, len(frames), frames_per_message):
            chosen = frames[first : first + frames_per_message]
            message = VideosKeyframesReady(
                job_id=self.job_id,
                event_id=uuid4(),
                video_id="video",
                frames=[Frame(frame_id=frame, ts=0.0, key=f"frames/{frame}") for frame in chosen],
            )
            self.house.commit(Work(events=[message]))

    async def settle(self) -> None:
        await self.house.settle()

    async def sweep(self) -> None:
        await self.house.sweeper().sweep()

    def one(self, stage: str = EMBEDDINGS) -> tuple[int, int, int, bool, str]:
        """The one completion of the stage, and its one event: total, processed, failed, partial, reason."""
        assert self.house.topics(self.job_id).count(f"{stage}.completed") == 1
        completion = self.status_of(stage).completion
        assert completion is not None
        return (
            completion.total_assets,
            completion.processed_assets,
            completion.failed_assets,
            completion.has_partial_completion,
            completion.reason,
        )

    def none_yet(self, stage: str = EMBEDDINGS) -> bool:
        return f"{stage}.completed" not in self.house.topics(self.job_id)


@asynccontextmanager
async def vision(
    store: Store,
    folder: Path,
    threshold: object = 100,
    *,
    seen: Seen | None = None,
    job_id: str | None = None,
) -> AsyncIterator[Vision]:
    """With `job_id` a replica, or the same after a restart."""
    seen = seen or Seen()
    services = vision_services(seen, CompletionPolicy(threshold, TTL_SECONDS))  # type: ignore[arg-type]
    async with open_house(
        folder, *services, phases=PHASES, clock=store.clock, REELWORK_DATABASE_URL=store.url
    ) as house:
        yield Vision(house, seen, job_id or house.start())
