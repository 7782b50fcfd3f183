"""Where segments lie in a video of which nobody has kept how it was cut: by their frames, and those of its source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

import av

from reelwork.errors import UnreadableMedia, UnsupportedMedia
from reelwork.media.byte_source import MediaFile
from reelwork.media.cutting import CutPlan, Segment, usual_duration
from reelwork.media.frame_index import FrameIndex
from reelwork.media.indexing import index_source
from reelwork.media.source import open_video


@dataclass(frozen=True)
class _Measured:
    """Of one segment, in seconds from its first frame: when the last one comes, and when that ends."""

    frame_count: int
    last: Fraction
    end: Fraction
    time_base: Fraction


def place_segments(segments: Iterable[Callable[[], MediaFile]], source: FrameIndex | None) -> CutPlan:
    """The plan by which these segments lie behind one another, in their order.

    source: the frames of the video that they were cut from, which they must hold, all of them; without it each begins
    where the one before it ends. Raises UnreadableMedia.
    """
    measured = [_measure(find(), number) for number, find in enumerate(segments)]
    if not measured:
        raise UnreadableMedia("there are no segments")
    return _one_behind_the_other(measured) if source is None else _within(measured, source)


def _measure(media: MediaFile, number: int) -> _Measured:
    try:
        with open_video(media) as video:
            index = index_source(video)
            last = (index.pts.item(len(index) - 1) - index.pts.item(0)) * index.time_base
            end = last + usual_duration(index, video) * index.time_base
    except (UnsupportedMedia, av.FFmpegError) as error:
        raise UnreadableMedia(f"segment {number} is not a video: {error}") from error
    return _Measured(len(index), last, end, index.time_base)


def _one_behind_the_other(measured: list[_Measured]) -> CutPlan:
    time_base = measured[0].time_base
    placed: list[Segment] = []
    frames, start = 0, Fraction(0)
    for one in measured:
        placed.append(Segment(frames, one.frame_count, round(start / time_base)))
        frames, start = frames + one.frame_count, start + one.end
    last = start - measured[-1].end + measured[-1].last
    return CutPlan(time_base, tuple(placed), round(last / time_base), round(start / time_base))


def _within(measured: list[_Measured], source: FrameIndex) -> CutPlan:
    placed: list[Segment] = []
    frames = 0
    for one in measured:
        if frames < len(source):
            placed.append(Segment(frames, one.frame_count, source.pts.item(frames)))
        frames += one.frame_count
    if frames != len(source):
        raise UnreadableMedia(f"the segments hold {frames} frames, the video that they are of {len(source)}")
    last_pts = source.pts.item(frames - 1)
    length = measured[-1].end - measured[-1].last
    return CutPlan(source.time_base, tuple(placed), last_pts, last_pts + round(length / source.time_base))
