"""Builds the frame index of a video by reading its packets alone, which costs a thousandth of decoding them.

The result must agree frame by frame with a plain decode of the whole file. Where packets cannot tell, it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import av
import numpy as np

from reelwork.errors import UnreadableMedia
from reelwork.media.byte_source import MediaFile
from reelwork.media.frame_index import FrameIndex, Times
from reelwork.media.h264 import begins_gradual_refresh
from reelwork.media.mpeg4 import packs_pictures
from reelwork.media.source import VideoSource, open_video

CONVERT = "convert it to MP4 first, for example with `ffmpeg -i FILE -c:v libx264 FILE.mp4`"


def build_frame_index(media: MediaFile) -> FrameIndex:
    """Index the frames that a plain decode of the whole file yields; UnreadableMedia when there are none."""
    with open_video(media) as source:
        return index_source(source)


def index_source(source: VideoSource) -> FrameIndex:
    """Index an open video by reading all its packets; the container stands at its end afterwards."""
    return index_of(source, read_packet_times(source))


def index_of(source: VideoSource, read: PacketTimes) -> FrameIndex:
    """The index that a video's packets make."""
    pts = np.sort(np.array(read.pts, dtype=np.int64))
    twins = set(pts[1:][np.diff(pts) == 0].tolist())
    keyframes = {time: dts for time, dts in read.keyframe_dts.items() if time not in twins}
    first_keyframe = min(read.keyframe_dts, default=None)
    if first_keyframe != pts[0]:
        pts = _without_undecodable_beginning(source.media, pts, first_keyframe)
    keyframes = {time: dts for time, dts in keyframes.items() if time > pts[0]}
    time_base = source.stream.time_base
    if not time_base:
        raise UnreadableMedia(f"the video has no unit of time; {CONVERT}")
    key_pts = sorted(keyframes)
    return FrameIndex(
        pts=pts,
        time_base=time_base,
        keyframes=np.concatenate(([0], np.searchsorted(pts, key_pts))).astype(np.int64),
        keyframe_dts=np.array([read.first_dts, *(keyframes[time] for time in key_pts)], dtype=np.int64),
    )


@dataclass
class PacketTimes:
    """What the packets say, in the order of decoding; keyframes are known by their presentation times.

    is_edited: an edit list hides some of them.
    """

    first_dts: int = 0
    pts: list[int] = field(default_factory=list)
    keyframe_dts: dict[int, int] = field(default_factory=dict)
    is_edited: bool = False


def read_packet_times(source: VideoSource) -> PacketTimes:
    """Reads all packets of an open video. Raises UnreadableMedia where they cannot tell which frames there are."""
    read = PacketTimes()
    latest_dts: int | None = None
    codec = source.stream.codec_context.codec.canonical_name
    is_h264, is_mpeg4 = codec == "h264", codec == "mpeg4"
    extradata = source.stream.codec_context.extradata or b""
    try:
        for packet in source.packets():
            pts, dts = packet.pts, packet.dts
            if dts is not None:
                if latest_dts is None:
                    read.first_dts = dts
                elif dts < latest_dts:
                    raise UnreadableMedia(f"the times of its frames jump back; {CONVERT}")
                latest_dts = dts
            if not source.presents(packet):
                read.is_edited |= packet.is_discard
                continue
            if pts is None:
                raise UnreadableMedia(f"its frames carry no presentation times; {CONVERT}")
            if is_mpeg4 and packs_pictures(bytes(packet)):
                raise UnreadableMedia(
                    f"it packs two frames into one packet, as DivX did, so that their times are wrong; {CONVERT}"
                )
            read.pts.append(pts)
            if packet.is_keyframe and not (is_h264 and begins_gradual_refresh(bytes(packet), extradata)):
                read.keyframe_dts[pts] = pts if dts is None else dts
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise UnreadableMedia(f"the file cannot be read to its end ({error.strerror})") from error
    if not read.pts:
        raise UnreadableMedia("the video holds no frames")
    reorders = bool(source.stream.codec_context.reorder_depth)
    if reorders and source.container.format.name == "avi" and read.pts == sorted(read.pts):
        raise UnreadableMedia(f"an AVI file does not say in which order its frames are shown; {CONVERT}")
    return read


def _without_undecodable_beginning(media: MediaFile, pts: Times, first_keyframe: int | None) -> Times:
    """Drop the frames shown before the first keyframe that a plain decode does not yield.

    What they refer to may be missing from the file. No container says so: they are decoded, up to the keyframe, to see.
    """
    decoded: set[int] = set()
    with open_video(media) as source:
        try:
            for frame in source.frames():
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
    from_keyframe = pts >= (min(decoded) if first_keyframe is None else first_keyframe)
    return pts[from_keyframe | np.isin(pts, list(decoded))]
