"""Decode any frames of a video as a plain decode of the whole file would give them, bit for bit, starting near them.

A frame that the decoder lost, damaged or predicted from a lost one is never yielded: that is an error, not a picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import av
import numpy as np
import numpy.typing as npt
from av import VideoFrame

from reelwork.errors import UndecodableFrames
from reelwork.media.byte_source import MediaFile
from reelwork.media.frame import Frame, PictureConverter
from reelwork.media.frame_index import FrameIndex
from reelwork.media.packet_reader import PacketReader, Packets
from reelwork.media.source import VideoSource


class VideoDecoder:
    """A video that stays open from one range of frames to the next.

    Opening costs as much as several frames: FFmpeg decodes some to find out what is in the file. For one thread; of two
    iterations only the later one is valid.
    """

    def __init__(self, media: MediaFile, index: FrameIndex) -> None:
        self.index = index
        self._reader = PacketReader(media, index)
        self._converter = PictureConverter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._reader.close()

    def frames(self, wanted: range) -> Iterator[Frame]:
        """Yield the wanted source frames in order, holding no more pictures than the decoder itself does.

        UndecodableFrames when a wanted frame does not come out whole; some frames before it may have been yielded.
        """
        if not wanted:
            return
        index = self.index
        if wanted.step < 1 or wanted[0] < 0 or wanted[-1] >= len(index):
            raise ValueError(
                f"wanted must be a forward range within the {len(index)} frames of the video, not {wanted}"
            )
        for run in _runs(index, wanted):
            for number, decoded in _decode_run(self._reader, index, run):
                yield Frame(decoded, number, index.seconds(number), self._converter)


def decode_frames(media: MediaFile, index: FrameIndex, wanted: range) -> Iterator[Frame]:
    """`VideoDecoder.frames` of a video that is opened for this alone."""
    with VideoDecoder(media, index) as decoder:
        yield from decoder.frames(wanted)


def sampled_pictures(media: MediaFile, index: FrameIndex, count_max: int) -> Iterator[npt.NDArray[np.uint8]]:
    """BGR pictures spread evenly over a video, in the order of the video. Raises UnreadableMedia, UndecodableFrames."""
    step = max(1, -(-len(index) // count_max))
    for frame in decode_frames(media, index, range(0, len(index), step)):
        yield frame.bgr


def _runs(index: FrameIndex, wanted: range) -> Iterator[range]:
    """Cut the wanted frames where whole groups of pictures between two of them need not be decoded."""
    groups = np.searchsorted(index.keyframes, np.arange(wanted.start, wanted.stop, wanted.step), side="right")
    start = 0
    for stop in [*(np.flatnonzero(np.diff(groups) > 1) + 1).tolist(), len(wanted)]:
        yield wanted[start:stop]
        start = stop


class _DamageError(Exception):
    """The decoder lost or damaged a frame; all that was not settled before it is lost up to the next keyframe."""

    def __init__(self, frame_index: int, reason: str) -> None:
        super().__init__(reason)
        self.frame_index = frame_index


def _decode_run(reader: PacketReader, index: FrameIndex, run: range) -> Iterator[tuple[int, VideoFrame]]:
    """Yield the frames of the run, past damage that touches none of them.

    After damage a frame is tried alone, since the decoder loses whole pictures with a damaged one.
    """
    keyframe, attempt = index.keyframe_before(run[0]), run
    while run:
        try:
            for number, decoded in _decode_from(reader, index, keyframe, attempt):
                yield number, decoded
                run = run[1:]
            attempt = run
        except _DamageError as damage:
            behind = _next_keyframe(index, damage.frame_index)
            if run[0] >= behind:
                keyframe, attempt = index.keyframe_before(run[0]), run
            elif len(attempt) > 1:
                attempt = run[:1]
            else:
                lost = [number for number in run if number < max(behind, run[0] + 1)]
                raise UndecodableFrames(f"{_named(lost)} cannot be decoded: {damage}") from damage


def _next_keyframe(index: FrameIndex, frame_index: int) -> int:
    """The first keyframe behind a frame, or the end of the video."""
    position = int(np.searchsorted(index.keyframes, frame_index, side="right"))
    return index.keyframes.item(position) if position < len(index.keyframes) else len(index)


def _decode_from(
    reader: PacketReader, index: FrameIndex, keyframe: int, run: range
) -> Iterator[tuple[int, VideoFrame]]:
    """Decode from a keyframe on and yield the frames of the run; _DamageError at the first frame that is not whole.

    A frame that is presented before one it may be predicted from waits until that one has come out whole.
    """
    source, packets = reader.packets_from(keyframe)
    number = int(index.keyframes[keyframe])
    settled_by: dict[int, int] = {}
    waiting: deque[tuple[int, VideoFrame, int]] = deque()
    for frame in _decoded(source, packets, index, number, run[-1], settled_by):
        pts = frame.pts
        if pts is None or pts < index.pts.item(number):
            continue  # a leading picture of the keyframe: it belongs to the group before
        if number > run[-1]:
            number = int(np.searchsorted(index.pts, pts))  # only those that earlier frames refer to were decoded
        elif pts != index.pts.item(number):
            raise _DamageError(number, "the decoder gave no picture for it")
        if frame.is_corrupt:
            raise _DamageError(number, f"the picture of frame {number} is damaged")
        settled = settled_by.pop(pts, pts)
        if number in run:
            waiting.append((number, frame, settled))
        while waiting and waiting[0][2] <= pts:
            ready, decoded, _ = waiting.popleft()
            yield ready, decoded
        number += 1
        if number == len(index):
            break
    if number <= run[-1] or waiting:
        raise _DamageError(number - 1 if waiting else number, "the decoder gave no picture for it")


def _decoded(
    source: VideoSource, packets: Packets, index: FrameIndex, first: int, last: int, settled_by: dict[int, int]
) -> Iterator[VideoFrame]:
    """All that the decoder gives for the frames from `first` to `last`, and leading pictures.

    No packet is decoded behind the last one that these frames need: damage there belongs to another range.
    `settled_by` receives, for each frame, the latest frame presented that was decoded before it.
    """
    first_pts, last_pts, latest_pts = index.pts.item(first), index.pts.item(last), index.pts.item(first)
    undecoded = last + 1 - first
    for packet in packets:
        pts = packet.pts
        if pts is None or not packet.size:
            continue
        try:
            frames = packet.decode()
        except MemoryError:
            raise
        except av.FFmpegError as error:
            if pts >= first_pts:
                number = int(np.searchsorted(index.pts, pts))
                raise _DamageError(number, f"the data of frame {number} is damaged ({error.strerror})") from error
            continue
        if pts >= first_pts and source.presents(packet):
            latest_pts = max(latest_pts, pts)
            settled_by[pts] = latest_pts
            undecoded -= pts <= last_pts
        yield from frames
        if not undecoded:
            break
    yield from source.stream.decode(None)


def _named(frames: list[int]) -> str:
    if len(frames) == 1:
        return f"frame {frames[0]}"
    return f"{len(frames)} frames from {frames[0]} to {frames[-1]}"
