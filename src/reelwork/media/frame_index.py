"""Which frames a video presents, in which order, and where decoding can start: found by reading packets alone.

Everything that names a frame by number stands on this index, so it must agree with a plain decode of the whole file.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from reelwork.errors import UnreadableMedia
from reelwork.media.source import VideoSource, open_video

Times = npt.NDArray[np.int64]

CONVERT = "convert it to MP4 first, for example with `ffmpeg -i FILE -c:v libx264 FILE.mp4`"
VP8_SHOW_FRAME = 0x10  # RFC 6386, 9.1: frames made only to predict from have packets of their own, and no picture


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Times of all presented frames, in units of `time_base`, and the frames at which decoding can start.

    pts            strictly increasing, one for each presented frame
    keyframes      strictly increasing presentation indices of random access points, the first of them 0
    keyframe_dts   decode times of the keyframes' packets: what a container seeks by
    """

    pts: Times
    time_base: Fraction
    keyframes: Times
    keyframe_dts: Times

    def __len__(self) -> int:
        return len(self.pts)

    def seconds(self, frame_index: int) -> float:
        """Time of a frame, counted from the first frame."""
        return float(int(self.pts[frame_index] - self.pts[0]) * self.time_base)

    def keyframe_before(self, frame_index: int) -> int:
        """Position in `keyframes` of the last one at or before a frame."""
        return int(np.searchsorted(self.keyframes, frame_index, side="right")) - 1

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        time_base = np.array(self.time_base.as_integer_ratio(), dtype=np.int64)
        np.savez_compressed(
            buffer, pts=self.pts, time_base=time_base, keyframes=self.keyframes, keyframe_dts=self.keyframe_dts
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> FrameIndex:
        """Read what `to_bytes` wrote; anything else raises UnreadableMedia."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                pts, time_base, keyframes, keyframe_dts = (
                    arrays[name] for name in ("pts", "time_base", "keyframes", "keyframe_dts")
                )
            index = cls(pts, Fraction(int(time_base[0]), int(time_base[1])), keyframes, keyframe_dts)
        except (ValueError, KeyError, IndexError, TypeError, OSError, ZeroDivisionError, zipfile.BadZipFile) as error:
            raise UnreadableMedia("the stored frame index is damaged; build it again from the video") from error
        if not index._is_sound():
            raise UnreadableMedia("the stored frame index contradicts itself; build it again from the video")
        return index

    def _is_sound(self) -> bool:
        arrays = (self.pts, self.keyframes, self.keyframe_dts)
        return (
            all(array.ndim == 1 and array.dtype == np.int64 and array.size for array in arrays)
            and len(self.keyframes) == len(self.keyframe_dts)
            and self.time_base > 0
            and bool((np.diff(self.pts) > 0).all())
            and bool((np.diff(self.keyframes) > 0).all())
            and self.keyframes[0] == 0
            and self.keyframes[-1] < len(self.pts)
        )


def build_frame_index(path: Path) -> FrameIndex:
    """Index the frames that a plain decode of the whole file yields; UnreadableMedia when there are none."""
    with open_video(path) as source:
        return index_source(source)


def index_source(source: VideoSource) -> FrameIndex:
    """Index an open video by reading all its packets; the container stands at its end afterwards."""
    times, keyframes, first_dts = _read_times(source)
    pts = np.sort(np.array(times, dtype=np.int64))
    if (np.diff(pts) == 0).any():
        raise UnreadableMedia(f"several frames carry the same presentation time; {CONVERT}")
    first_keyframe = min(keyframes, default=None)
    if first_keyframe != pts[0]:
        pts = _without_undecodable_beginning(source.path, pts, first_keyframe)
        keyframes[pts.item(0)] = first_dts
    key_pts = np.array(sorted(keyframes), dtype=np.int64)
    key_pts = key_pts[key_pts >= pts[0]]
    time_base = source.stream.time_base
    if not time_base:
        raise UnreadableMedia(f"the video has no unit of time; {CONVERT}")
    return FrameIndex(
        pts=pts,
        time_base=time_base,
        keyframes=np.searchsorted(pts, key_pts).astype(np.int64),
        keyframe_dts=np.array([keyframes[time] for time in key_pts.tolist()], dtype=np.int64),
    )


def _read_times(source: VideoSource) -> tuple[list[int], dict[int, int], int]:
    """Presentation times in the order of decoding, decode times of the keyframes by their presentation times, and the
    first decode time of the file."""
    times: list[int] = []
    keyframes: dict[int, int] = {}
    first_dts: int | None = None
    hides_frames = source.stream.codec_context.codec.canonical_name == "vp8"
    try:
        for packet in source.container.demux(source.stream):
            if not packet.size:
                continue
            pts, dts = packet.pts, packet.dts
            if first_dts is None:
                first_dts = dts if dts is not None else pts
            if packet.is_discard or (hides_frames and not memoryview(packet)[0] & VP8_SHOW_FRAME):
                continue
            if pts is None:
                raise UnreadableMedia(f"its frames carry no presentation times; {CONVERT}")
            times.append(pts)
            if packet.is_keyframe:
                keyframes[pts] = pts if dts is None else dts
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise UnreadableMedia(f"the file cannot be read to its end ({error.strerror})") from error
    if not times:
        raise UnreadableMedia("the video holds no frames")
    reorders = bool(source.stream.codec_context.reorder_depth)
    if reorders and source.container.format.name == "avi" and times == sorted(times):
        raise UnreadableMedia(f"an AVI file does not say in which order its frames are shown; {CONVERT}")
    return times, keyframes, first_dts or 0


def _without_undecodable_beginning(path: Path, pts: Times, first_keyframe: int | None) -> Times:
    """Drop the frames before the first keyframe that a plain decode does not yield (their references are not in the
    file). The few frames there are decoded to see: no container says it."""
    decoded: set[int] = set()
    with open_video(path) as source:
        try:
            for frame in source.container.decode(source.stream):
                if frame.pts is not None:
                    decoded.add(frame.pts)
                    if first_keyframe is None or frame.pts >= first_keyframe:
                        break
        except MemoryError:
            raise
        except av.FFmpegError as error:
            raise UnreadableMedia(f"the first frames cannot be decoded ({error.strerror})") from error
    if not decoded:
        raise UnreadableMedia("no frame of the video can be decoded")
    begins = pts >= (min(decoded) if first_keyframe is None else first_keyframe)
    return pts[begins | np.isin(pts, list(decoded))]
