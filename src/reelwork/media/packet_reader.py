"""Reads the packets of a video from any keyframe on, whatever its container's idea of seeking is.

Containers seek by their own tables, and some only roughly; what is read is therefore checked against the frame index.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain

import av
from av.packet import Packet
from av.video.stream import VideoStream

from reelwork.errors import UndecodableFrames
from reelwork.media.byte_source import MediaFile
from reelwork.media.frame_index import FrameIndex
from reelwork.media.source import VideoSource, open_video

Packets = Iterator["Packet[VideoStream]"]


class PacketReader:
    """A video, opened when first read, and opened again where only that leads to its beginning."""

    def __init__(self, media: MediaFile, index: FrameIndex) -> None:
        self._media = media
        self._index = index
        self._opened = ExitStack()
        self._source: VideoSource | None = None
        self._is_fresh = False

    def close(self) -> None:
        self._opened.close()
        self._source = None

    def packets_from(self, keyframe: int) -> tuple[VideoSource, Packets]:
        """The open video, its decoder clean, and its packets from the keyframe at this position of the index on."""
        for earlier in _positions_back_to_start(keyframe):
            source, packets = self._seek(earlier)
            found = packets if keyframe == 0 else self._skip_to(keyframe, packets)
            if found is not None:
                return source, found
        raise UndecodableFrames("the file does not hold the keyframes that its index names; was it replaced?")

    def _seek(self, keyframe: int) -> tuple[VideoSource, Packets]:
        source = self._source
        if source is None or (keyframe == 0 and not self._is_fresh):
            source = self._reopen()
        self._is_fresh = False
        if keyframe:
            try:
                source.seek(int(self._index.keyframe_dts[keyframe]))
            except av.FFmpegError:
                return source, iter(())
        return source, source.packets()

    def _reopen(self) -> VideoSource:
        self.close()
        self._source = source = self._opened.enter_context(open_video(self._media))
        self._is_fresh = True
        if source.stream.codec_context.name == "hevc":
            # FFmpeg's HEVC decoder conceals damage without flagging the frame; made to raise, it tells. H.264 and
            # MPEG-4 flag each damaged frame; made to raise, they would refuse sound frames behind an open GOP.
            source.stream.codec_context.options = {"err_detect": "explode"}
        return source

    def _skip_to(self, keyframe: int, packets: Packets) -> Packets | None:
        """Packets from the keyframe on; None when the seek went beyond it."""
        pts = int(self._index.pts[self._index.keyframes[keyframe]])
        dts = int(self._index.keyframe_dts[keyframe])
        for packet in packets:
            if packet.pts == pts:
                return chain((packet,), packets)
            if packet.dts is not None and packet.dts > dts:
                return None
        return None


def _positions_back_to_start(keyframe: int) -> Iterator[int]:
    step = 1
    while keyframe > 0:
        yield keyframe
        keyframe -= step
        step *= 4
    yield 0
