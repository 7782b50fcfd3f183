"""Cuts a video into segments that decode on their own, without encoding anything anew.

A cut lies only where no frame on either side needs one of the other: at a keyframe with nothing decoded behind it that
is shown before it. A segment holds the pictures alone, its first frame at time 0; the sound stays in the source.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from reelwork.errors import UnreadableMedia
from reelwork.media.byte_source import MediaFile
from reelwork.media.frame_index import FrameIndex
from reelwork.media.indexing import CONVERT, PacketTimes, index_of, read_packet_times
from reelwork.media.source import VideoSource, open_video

SEGMENT_BYTES_MAX: Final = 512 * 1024**2
SEGMENTS_MAX: Final = 99_999
"""What a segment key has room for."""


@dataclass(frozen=True)
class Segment:
    """Frames [first_frame, first_frame + frame_count) of the source; pts: of the first, in the plan's time base."""

    first_frame: int
    frame_count: int
    pts: int


@dataclass(frozen=True)
class CutPlan:
    """Where a video is cut: its segments in order, which hold every frame once. last_pts: of the last frame; end_pts:
    where that ends.
    """

    time_base: Fraction
    segments: tuple[Segment, ...]
    last_pts: int
    end_pts: int

    @property
    def frame_count(self) -> int:
        return sum(segment.frame_count for segment in self.segments)

    @property
    def duration_seconds(self) -> float:
        return float((self.end_pts - self.segments[0].pts) * self.time_base)

    @property
    def seconds_to_last_frame(self) -> float:
        return float((self.last_pts - self.segments[0].pts) * self.time_base)


def plan_cuts(media: MediaFile, *, target_seconds: float) -> CutPlan:
    """Segments of at least `target_seconds`, as far as there are places to cut; the last may be shorter.

    Raises UnreadableMedia for a video that cannot be cut without loss, with the reason.
    """
    if target_seconds <= 0:
        raise ValueError(f"a segment lasts longer than {target_seconds:g} s")
    with open_video(media) as source:
        times = read_packet_times(source)
        if times.is_edited:
            raise UnreadableMedia(f"its edit list hides some of its frames, which copying would show; {CONVERT}")
        index = index_of(source, times)
        last_duration = usual_duration(index, source)
    starts = _starts(index, clean_keyframes(index, times), target_seconds)
    stops = [*starts[1:], len(index)]
    segments = tuple(
        Segment(start, stop - start, index.pts.item(start)) for start, stop in zip(starts, stops, strict=True)
    )
    last_pts = index.pts.item(len(index) - 1)
    return CutPlan(index.time_base, segments, last_pts, last_pts + last_duration)


def clean_keyframes(index: FrameIndex, times: PacketTimes) -> list[int]:
    """Frames at which a video can be cut: what is decoded before such a frame is shown before it, and the rest after.

    In the words of H.264 and HEVC: at an instantaneous decoder refresh without leading pictures.
    """
    decoded = np.array(times.pts, dtype=np.int64)
    latest_before = np.concatenate(([decoded.min() - 1], np.maximum.accumulate(decoded)[:-1]))
    earliest_from = np.minimum.accumulate(decoded[::-1])[::-1]
    is_clean = (latest_before < decoded) & (earliest_from >= decoded)
    clean_pts = set(decoded[is_clean].tolist())
    return [0, *(frame for frame in index.keyframes[1:].tolist() if index.pts.item(frame) in clean_pts)]


def _starts(index: FrameIndex, clean: list[int], target_seconds: float) -> list[int]:
    starts = [0]
    for frame in clean[1:]:
        if index.seconds(frame) - index.seconds(starts[-1]) >= target_seconds and len(starts) < SEGMENTS_MAX:
            starts.append(frame)
    return starts


def usual_duration(index: FrameIndex, source: VideoSource) -> int:
    """How long the last frame is shown, in the time base: as long as the one before it."""
    if len(index) > 1:
        return max(1, index.pts.item(len(index) - 1) - index.pts.item(len(index) - 2))
    rate = source.stream.average_rate
    return max(1, round(1 / rate / index.time_base)) if rate else 1


def cut_segments(media: MediaFile, plan: CutPlan) -> Iterator[tuple[int, bytes]]:
    """Each segment of the plan, in order, as an MP4 file: (segment_index, bytes). One is in memory at a time.

    Raises UnreadableMedia when the file is not the one that was planned for, or its codec does not go into MP4.
    """
    bounds = [segment.pts for segment in plan.segments[1:]] + [plan.end_pts]
    with open_video(media) as source:
        current: _SegmentWriter | None = None
        segment_index = 0
        for packet in _presented(source, plan):
            assert packet.pts is not None
            if packet.pts >= bounds[segment_index] and segment_index + 1 < len(bounds):
                assert current is not None
                yield segment_index, current.finish(before=packet)
                current, segment_index = None, segment_index + 1
            if current is None:
                current = _SegmentWriter(source, plan.segments[segment_index])
            current.write(packet)
        if current is None or segment_index + 1 < len(bounds):
            raise UnreadableMedia("the video ends before its last segment; was it replaced since it was planned?")
        yield segment_index, current.finish()


def _presented(source: VideoSource, plan: CutPlan) -> Iterator[Packet[VideoStream]]:
    """What cannot be decoded before the first frame of the plan is left out, and what is no frame."""
    for packet in source.packets():
        if (
            packet.size
            and not source.is_left_out(packet)
            and packet.pts is not None
            and packet.pts >= plan.segments[0].pts
        ):
            yield packet


class _SegmentWriter:
    """One MP4 file in memory. A packet is held back until the next one tells how long it lasts."""

    def __init__(self, source: VideoSource, segment: Segment) -> None:
        self._buffer = io.BytesIO()
        self._start = segment.pts
        self._frame_count = segment.frame_count
        self._frames = 0
        self._held: Packet[VideoStream] | None = None
        self._container: OutputContainer = av.open(self._buffer, "w", format="mp4")
        try:
            self._stream = self._container.add_stream_from_template(source.stream)
        except (ValueError, av.FFmpegError) as error:
            codec = source.stream.codec_context.codec.canonical_name
            raise UnreadableMedia(f"{codec} pictures cannot be kept in an MP4 file; {CONVERT}") from error

    def write(self, packet: Packet[VideoStream]) -> None:
        self._mux_held(next_dts=packet.dts)
        self._held = packet
        self._frames += 1
        if self._buffer.tell() > SEGMENT_BYTES_MAX:
            raise UnreadableMedia(
                f"its keyframes lie so far apart that a segment is over {SEGMENT_BYTES_MAX // 1024**2} MiB; "
                "encode it with more of them first, for example with `ffmpeg -i FILE -c:v libx264 -g 250 FILE.mp4`"
            )

    def finish(self, before: Packet[VideoStream] | None = None) -> bytes:
        """before: the first packet of the next segment."""
        self._mux_held(next_dts=None if before is None else before.dts)
        self._container.close()
        if self._frames != self._frame_count:
            raise UnreadableMedia(
                f"a segment has {self._frames} frames instead of {self._frame_count}; "
                "was the video replaced since it was planned?"
            )
        return self._buffer.getvalue()

    def _mux_held(self, *, next_dts: int | None) -> None:
        packet, self._held = self._held, None
        if packet is None:
            return
        if next_dts is not None and packet.dts is not None and next_dts > packet.dts:
            packet.duration = next_dts - packet.dts
        packet.stream = self._stream
        if packet.pts is not None:
            packet.pts -= self._start
        if packet.dts is not None:
            packet.dts -= self._start
        try:
            self._container.mux(packet)
        except (ValueError, av.FFmpegError) as error:
            raise UnreadableMedia(f"its packets cannot be copied into an MP4 file ({error}); {CONVERT}") from error
