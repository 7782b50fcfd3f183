"""Joins segments into one video again, in order, and gives it the sound of its source; nothing is encoded anew.

The result is looked at before it counts: it has every frame, lasts as long, and carries all packets of the source's
sound.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, cast

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from reelwork.errors import UnreadableMedia, UnsupportedMedia
from reelwork.media.byte_source import MediaFile
from reelwork.media.cutting import CutPlan
from reelwork.media.source import VideoSource, open_video

SOUND_IN_MP4: Final = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "mp2", "dts"})
TIME_ERROR_SECONDS_MAX: Final = 0.001
TABLES_BEHIND: Final = {"movflags": "+faststart"}
"""Written last and moved to the beginning, which writes everything twice."""
TABLE_BYTES_PER_PACKET: Final = 48
"""At most: its size, place, times, and a mark where it is a keyframe (ISO/IEC 14496-12, 8.6 and 8.7)."""
TABLE_BYTES_MIN: Final = 64 << 10
TABLE_BYTES_MAX: Final = 64 << 20


@dataclass(frozen=True)
class JoinedVideo:
    """What lies in a joined file. sound_packets: of all its audio streams together."""

    frame_count: int
    duration_seconds: float
    sound_packets: int


def check_sound(media: MediaFile) -> None:
    """Raises UnreadableMedia for sound that cannot be copied into an MP4 file: better before the work than after it."""
    with open_video(media) as source:
        for stream in source.container.streams.audio:
            codec = stream.codec_context.codec.canonical_name
            if codec not in SOUND_IN_MP4:
                raise UnreadableMedia(
                    f"its sound ({codec}) cannot be copied into an MP4 file; convert it first, "
                    "for example with `ffmpeg -i FILE -c:v copy -c:a aac FILE.mp4`"
                )


def join_segments(
    segments: Iterable[Callable[[], MediaFile]], plan: CutPlan, source: MediaFile | None, output: Path
) -> JoinedVideo:
    """Writes the segments of a plan, each opened when its turn has come, with the source's sound, as an MP4 file that
    plays from its beginning while it is still being loaded. Without a source it has no sound.

    Raises UnreadableMedia for segments that do not belong together, or a result that is not whole.
    """
    found = [*segments]
    try:
        joined = _written(found, plan, source, output, tables_first=True)
    except av.error.ArgumentError:  # there are more packets than the tables of the source had let expect
        joined = _written(found, plan, source, output, tables_first=False)
    _verify(output, joined.sound_packets, plan)
    return joined


def _written(
    segments: Sequence[Callable[[], MediaFile]],
    plan: CutPlan,
    source: MediaFile | None,
    output: Path,
    *,
    tables_first: bool,
) -> JoinedVideo:
    """tables_first: room is kept for them at the beginning, if anybody knows how much they need."""
    with ExitStack() as opened:
        given = None if source is None else opened.enter_context(open_video(source))
        room = _room_for_tables(given, plan) if tables_first else 0
        options = {"moov_size": str(room)} if room else TABLES_BEHIND
        made = opened.enter_context(av.open(str(output), "w", format="mp4", options=options))
        joint = _Joint(made, plan)
        pictures = joint.packets(segments)
        first = next(pictures)  # the stream must be there before the first packet of any other is written
        sound = _Sound(given, made)
        for _, _, packet in heapq.merge(_chained(first, pictures), sound.packets()):
            made.mux(packet)
    return JoinedVideo(joint.frames, plan.duration_seconds, sound.count)


def _room_for_tables(given: VideoSource | None, plan: CutPlan) -> int:
    packets = plan.frame_count
    for stream in given.container.streams.audio if given is not None else ():
        if not stream.frames:
            return 0
        packets += stream.frames
    room = TABLE_BYTES_MIN + packets * TABLE_BYTES_PER_PACKET
    return room if room <= TABLE_BYTES_MAX else 0


Timed = tuple[float, int, "Packet[Any]"]
"""Decode time in seconds, a number that settles ties, and the packet."""


def _chained(first: Timed, others: Iterator[Timed]) -> Iterator[Timed]:
    yield first
    yield from others


class _Sound:
    """Every audio stream of the source, copied."""

    def __init__(self, given: VideoSource | None, made: OutputContainer) -> None:
        self._given = given
        streams = () if given is None else given.container.streams.audio
        self._streams = {stream.index: made.add_stream_from_template(stream) for stream in streams}
        self.count = 0

    def packets(self) -> Iterator[Timed]:
        if self._given is None or not self._streams:
            return
        for packet in self._given.sound_packets():
            if not packet.size:
                continue
            self.count += 1
            index = packet.stream.index
            dts = packet.dts if packet.dts is not None else packet.pts
            assert packet.time_base is not None
            seconds = float((dts or 0) * packet.time_base)
            packet.stream = self._streams[index]
            yield seconds, self.count, packet


@dataclass
class _Joint:
    """The pictures of all segments, one behind the other, at the times of the source."""

    made: OutputContainer
    plan: CutPlan
    frames: int = 0
    _stream: VideoStream | None = None
    _extradata: bytes | None = None
    _latest_dts: Fraction | None = field(default=None)

    def packets(self, segments: Iterable[Callable[[], MediaFile]]) -> Iterator[Timed]:
        came = 0
        for number, (segment, find) in enumerate(zip(self.plan.segments, segments, strict=False)):
            before, came = self.frames, number + 1
            try:
                with open_video(find(), is_ours=True) as source:
                    yield from self._of_segment(source, segment.pts * self.plan.time_base, number)
            except UnsupportedMedia as error:
                raise UnreadableMedia(f"segment {number} is not a video: {error}") from error
            if self.frames - before != segment.frame_count:
                raise UnreadableMedia(
                    f"segment {number} holds {self.frames - before} frames instead of {segment.frame_count}"
                )
        if came < len(self.plan.segments):
            raise UnreadableMedia(f"only {came} of {len(self.plan.segments)} segments are there")

    def _of_segment(self, source: VideoSource, start: Fraction, number: int) -> Iterator[Timed]:
        stream = source.stream
        made = self._stream_like(stream, number)
        time_base = stream.time_base
        assert time_base is not None
        offset = round(start / time_base) - (stream.start_time or 0)
        for packet in source.packets():
            if not packet.size or packet.pts is None or packet.dts is None:
                continue
            packet.pts += offset
            packet.dts = self._next_dts(packet.dts + offset, time_base)
            self.frames += 1
            packet.stream = made
            yield float(packet.dts * time_base), -1, packet

    def _next_dts(self, dts: int, time_base: Fraction) -> int:
        """Encoders count decode times back from the first frame, which may reach into the segment before."""
        if self._latest_dts is not None:
            dts = max(dts, int(self._latest_dts / time_base) + 1)
        self._latest_dts = dts * time_base
        return dts

    def _stream_like(self, stream: VideoStream, number: int) -> VideoStream:
        extradata = stream.codec_context.extradata
        if self._stream is None:
            self._stream = self.made.add_stream_from_template(stream)
            self._stream.time_base = stream.time_base
            self._extradata = extradata
        elif extradata != self._extradata:
            raise UnreadableMedia(f"segment {number} was encoded in another way than those before it")
        return self._stream


def _verify(output: Path, sound_packets: int, plan: CutPlan) -> None:
    """Reads all packets of what was written."""
    frames, sounds, first, last = 0, 0, math.inf, -math.inf
    with open_video(output, is_ours=True) as made:
        for packet in made.container.demux():
            stream = packet.stream
            if isinstance(stream, AudioStream):
                sounds += bool(packet.size)
            elif (
                isinstance(stream, VideoStream)
                and made.presents(cast("Packet[VideoStream]", packet))
                and packet.pts is not None
                and packet.time_base is not None
            ):
                frames += 1
                time = float(packet.pts * packet.time_base)
                first, last = min(first, time), max(last, time)
    problems = []
    if frames != plan.frame_count:
        problems.append(f"{frames} of {plan.frame_count} frames")
    elif abs(last - first - plan.seconds_to_last_frame) > TIME_ERROR_SECONDS_MAX:
        problems.append(f"its last frame stands at {last - first:.3f} s instead of {plan.seconds_to_last_frame:.3f}")
    if sounds != sound_packets:
        problems.append(f"{sounds} of {sound_packets} packets of sound")
    if problems:
        raise UnreadableMedia(f"the joined video is not whole: {'; '.join(problems)}")
