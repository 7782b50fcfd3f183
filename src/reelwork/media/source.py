"""The one place that opens a video, so that every reader trusts a file equally little.

Only real containers are opened: playlists and image patterns could make a server read other files or addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import av
from av import VideoFrame
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from reelwork.errors import UnreadableMedia, UnsupportedMedia
from reelwork.media.byte_source import MediaFile
from reelwork.media.mpeg4 import is_without_picture, time_bits
from reelwork.media.ranged_file import RangedFile
from reelwork.media.wholeness import missing_part

VIDEO_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,nut"
VP8_SHOW_FRAME = 0x10  # RFC 6386, 9.1
IO_BUFFER_BYTES = 64 << 10  # what FFmpeg asks for at a time, of what is no file
NO_PROBE = {"probesize": "32", "fpsprobesize": "0"}
NO_DECODING = {"skip_frame": "all"}
OWN_STREAMS_MAX = 64  # more are looked at, which takes longer
SOUND_CONTAINERS = "wav,mp3,flac,aac"  # opened only to say "sound only" instead of "not a video"

T = TypeVar("T")


@dataclass(frozen=True)
class VideoSource:
    """An open container and the stream whose frames count. mpeg4_time_bits: see there; None for any other codec."""

    media: MediaFile
    container: InputContainer
    stream: VideoStream
    has_audio: bool
    has_hidden_frames: bool
    ranged: RangedFile | None = None
    mpeg4_time_bits: int | None = None

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """From where the container stands. Raises what reading has failed with, not what FFmpeg takes that for."""
        return _told(self.ranged, self.container.demux(self.stream))

    def sound_packets(self) -> Iterator[Packet[Stream]]:
        """Of all audio streams; raises as `packets` does."""
        return _told(self.ranged, self.container.demux(*self.container.streams.audio))

    def frames(self) -> Iterator[VideoFrame]:
        """All that a plain decode gives; raises as `packets` does."""
        return _told(self.ranged, self.container.decode(self.stream))

    def seek(self, dts: int) -> None:
        """Raises as `packets` does."""
        try:
            self.container.seek(dts, stream=self.stream)
        finally:
            _raise_failure(self.ranged)

    def presents(self, packet: Packet[VideoStream]) -> bool:
        """Whether the packet holds a frame to be shown, not one that is only decoded for others to refer to."""
        if packet.is_discard or not packet.size or self.is_left_out(packet):
            return False
        return not self.has_hidden_frames or bool(memoryview(packet)[0] & VP8_SHOW_FRAME)

    def is_left_out(self, packet: Packet[VideoStream]) -> bool:
        """Whether the packet stands for a frame that there is not, and may itself be left out."""
        return self.mpeg4_time_bits is not None and is_without_picture(bytes(packet), self.mpeg4_time_bits)


@contextmanager
def open_video(media: MediaFile, *, is_ours: bool = False) -> Iterator[VideoSource]:
    """Open the first video stream of a file (a cover picture is none); close it at the end of the block.

    The decoder gets one thread: parallelism belongs to ranges, and a range must cost what it says. is_ours: an MP4 file
    that was written here, and whose tables say all there is to know for copying: no picture is decoded to look.
    """
    ranged = None if isinstance(media, Path) else RangedFile(media)
    with _open_container(media, ranged, is_ours=is_ours) as container:
        stream = _first_video_stream(container)
        stream.codec_context.thread_count = 1
        codec = stream.codec_context.codec.canonical_name
        yield VideoSource(
            media,
            container,
            stream,
            has_audio=bool(container.streams.audio),
            has_hidden_frames=codec == "vp8",
            ranged=ranged,
            mpeg4_time_bits=time_bits(stream.codec_context.extradata or b"") if codec == "mpeg4" else None,
        )


def _open_container(media: MediaFile, ranged: RangedFile | None, *, is_ours: bool) -> InputContainer:
    formats = {"format_whitelist": f"{VIDEO_CONTAINERS},{SOUND_CONTAINERS}"}
    file: Any = _Silent(ranged) if ranged is not None else f"file:{media}"
    if isinstance(media, Path):
        media.open("rb").close()  # a file that is absent or may not be read is no fault of its content
    options = {**formats, "protocol_whitelist": "file" if ranged is None else "none"}
    decoders: list[Any] = [NO_DECODING] * OWN_STREAMS_MAX if is_ours else []
    try:
        container: InputContainer = av.open(
            file,
            "r",
            container_options={**options, **(NO_PROBE if is_ours else {})},
            stream_options=decoders,
            metadata_errors="replace",
            buffer_size=IO_BUFFER_BYTES,
        )
        _raise_failure(ranged)
        return container
    except MemoryError:
        raise
    except av.FFmpegError as error:
        _raise_failure(ranged)
        missing = missing_part(media)
        if missing:
            raise UnreadableMedia(missing) from error
        raise UnsupportedMedia(
            "not a video file: no known container (MP4, MOV, MKV, WebM, AVI, MPEG-TS, ...)"
        ) from error


def _first_video_stream(container: InputContainer) -> VideoStream:
    videos = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not videos:
        raise UnsupportedMedia(
            "the file holds sound only, no video" if container.streams.audio else "the file holds no video stream"
        )
    if videos[0].codec_context is None:
        raise UnsupportedMedia("the video is in a codec for which there is no decoder here")
    return videos[0]


def _told(ranged: RangedFile | None, items: Iterator[T]) -> Iterator[T]:
    return items if ranged is None else _told_of(ranged, items)


def _told_of(ranged: RangedFile, items: Iterator[T]) -> Iterator[T]:
    try:
        for item in items:
            _raise_failure(ranged)
            yield item
    except av.FFmpegError:
        _raise_failure(ranged)
        raise
    _raise_failure(ranged)


def _raise_failure(ranged: RangedFile | None) -> None:
    if ranged is not None and ranged.failure is not None:
        raise ranged.failure


class _Silent:
    """What PyAV reads: where a read fails it ends, and who asked for it looks why. An error would be kept by PyAV, and
    be raised by whatever its thread does next, with another video, too.
    """

    def __init__(self, ranged: RangedFile) -> None:
        self.name = ranged.name
        self.tell = ranged.tell
        self._ranged = ranged

    def seek(self, offset: int, whence: int) -> int:
        """-1 for a place before the beginning, as lseek(2)."""
        try:
            return self._ranged.seek(offset, whence)
        except ValueError:
            return -1

    def read(self, size: int) -> bytes:
        try:
            return self._ranged.read(size) or b""
        except BaseException as failure:
            self._ranged.failure = failure
            return b""
