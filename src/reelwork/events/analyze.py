"""The topics of the analyze pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import model_validator

from reelwork.events.event import Announcement, Asset, AssetEvent, Count, Event, StageCompleted


class VideoSubmitted(Event):
    """A video was accepted; its planner cuts it into ranges."""

    topic = "video.submitted"


class VideoRangesBatch(Announcement):
    """How many ranges a video was cut into."""

    topic = "video.ranges.batch"

    total_ranges: Count

    @property
    def expected(self) -> int:
        return self.total_ranges


class VideoRangeReady(AssetEvent):
    """One range of source frames, [start, end), waits for its analyzers."""

    topic = "video.range.ready"

    range_index: Count
    start: Count
    end: Count

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> VideoRangeReady:
        if self.end <= self.start:
            raise ValueError("end must be greater than start")
        return self

    @property
    def asset_id(self) -> str:
        return range_asset_id(self.range_index)

    def assets(self) -> Sequence[Asset]:
        return (Asset(self.asset_id, weight=self.end - self.start),)


class VideoRangesCompleted(StageCompleted):
    """Every range of a video has its outcome."""

    topic = "video.ranges.completed"


def range_asset_id(range_index: int) -> str:
    """Ids in the order of the ranges, so that the store appends."""
    return f"{range_index:06d}"


TOPICS = (VideoSubmitted, VideoRangesBatch, VideoRangeReady, VideoRangesCompleted)
