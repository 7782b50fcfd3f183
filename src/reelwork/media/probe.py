"""Says what a file is before anyone works on it. A file that is not a whole, decodable video is refused with a reason.

It runs in the process of its caller: a file from outside belongs into `probe_in_child`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av

from reelwork.errors import UndecodableFrames, UnreadableMedia
from reelwork.media.byte_source import MediaFile, size_of
from reelwork.media.decode import decode_frames
from reelwork.media.frame_index import FrameIndex
from reelwork.media.indexing import index_source
from reelwork.media.source import VideoSource, open_video
from reelwork.media.video_info import VideoInfo
from reelwork.media.wholeness import missing_part

DEFAULT_FRAME_RATE = Fraction(25)


@dataclass(frozen=True, eq=False)
class ProbedVideo:
    """A whole, decodable video: what it is, and the frames that reading it has found."""

    info: VideoInfo
    index: FrameIndex


def probe_video(media: MediaFile) -> ProbedVideo:
    """Read all packets and decode the first frame; UnreadableMedia says in plain words what is wrong."""
    with open_video(media) as source:
        missing = missing_part(media) or _samples_beyond_end(source)
        if missing:
            raise UnreadableMedia(missing)
        index = index_source(source)
        width, height = _decode_first(media, index)
        frame_rate = _frame_rate(source, index)
        info = VideoInfo(
            codec=source.stream.codec_context.codec.canonical_name,
            width=width,
            height=height,
            frame_count=len(index),
            duration_seconds=float(len(index) / frame_rate),
            frame_rate=float(frame_rate),
            has_audio=source.has_audio,
        )
        return ProbedVideo(info, index)


def _samples_beyond_end(source: VideoSource) -> str | None:
    """What the container's own table says of frames that lie where the file has ended already."""
    size = size_of(source.media)
    promised, there = 0, 0
    for entry in source.stream.index_entries:
        if entry.size:
            promised += 1
            there += entry.pos + entry.size <= size
    if there == promised:
        return None
    return f"the file is truncated: {there} of its {promised} frames are there; upload it again"


def _decode_first(media: MediaFile, index: FrameIndex) -> tuple[int, int]:
    """Width and height of the first frame, which proves that there is a working decoder."""
    try:
        for frame in decode_frames(media, index, range(1)):
            return frame.width, frame.height
    except (UndecodableFrames, av.FFmpegError) as error:
        if isinstance(error, MemoryError):
            raise
        raise UnreadableMedia(f"the first frame cannot be decoded ({error})") from error
    raise UnreadableMedia("the first frame cannot be decoded")


def _frame_rate(source: VideoSource, index: FrameIndex) -> Fraction:
    """Average over all frames; what the header says where there is only one."""
    if len(index) > 1:
        return (len(index) - 1) / (int(index.pts[-1] - index.pts[0]) * index.time_base)
    return source.stream.average_rate or DEFAULT_FRAME_RATE
