"""Which product is in which video, and the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from reelwork.events.event import (
    Announcement,
    Asset,
    AssetEvent,
    Count,
    Event,
    IdentifiedEvent,
    StageCompleted,
    StageSnapshot,
)
from reelwork.events.match.names import Name, Part, Seconds, joined


class MatchRequest(IdentifiedEvent):
    """All features are there; find the products in the videos."""

    topic = "match.request"


class MatchVideosBatch(Announcement):
    """How many videos are searched."""

    topic = "match.videos.batch"

    total_videos: Count

    @property
    def expected(self) -> int:
        return self.total_videos


class MatchVideo(AssetEvent):
    """Find all products in this video. number: its place among the videos of the job."""

    topic = "match.video"

    number: Count
    video_id: Name

    def assets(self) -> Sequence[Asset]:
        return (Asset(self.video_id),)


class BestPair(Part):
    """The product image and the frame that show a match best."""

    image_id: Name
    frame_id: Name


class MatchResult(AssetEvent):
    """A product appears in a video. score: 0..1. ts: of the best frame, in seconds."""

    topic = "match.result"

    product_id: Name
    video_id: Name
    best_pair: BestPair
    score: Annotated[float, Field(ge=0, le=1)]
    ts: Seconds

    def assets(self) -> Sequence[Asset]:
        return (Asset(joined(self.video_id, self.product_id)),)


class MatchRequestCompleted(StageCompleted, Announcement):
    """Every video was searched; so many matches were found, and each gets its evidence."""

    topic = "match.request.completed"

    total_matches: Count

    @property
    def expected(self) -> int:
        return self.total_matches

    @classmethod
    def payload_of(cls, stage: StageSnapshot) -> Mapping[str, Any]:
        """The weight of a video is the number of its matches."""
        return {**super().payload_of(stage), "total_matches": stage.processed_weight}


class EvidencesGenerationCompleted(StageCompleted):
    """Every match has its picture."""

    topic = "evidences.generation.completed"


TOPICS: tuple[type[Event], ...] = (
    MatchRequest,
    MatchVideosBatch,
    MatchVideo,
    MatchResult,
    MatchRequestCompleted,
    EvidencesGenerationCompleted,
)
