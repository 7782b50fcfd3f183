"""The one place that opens a video, so that every reader trusts a file equally little.

Only real containers are opened: playlists and image patterns could make a server read other files or addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from reelwork.errors import UnreadableMedia, UnsupportedMedia
from reelwork.media.wholeness import missing_part

VIDEO_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,nut"
VP8_SHOW_FRAME = 0x10  # RFC 6386, 9.1
SOUND_CONTAINERS = "wav,mp3,flac,aac"  # opened only to say "sound only" instead of "not a video"


@dataclass(frozen=True)
class VideoSource:
    """An open container and the stream whose frames count."""

    path: Path
    container: InputContainer
    stream: VideoStream
    has_audio: bool
    has_hidden_frames: bool

    def presents(self, packet: Packet[VideoStream]) -> bool:
        """Whether the packet holds a frame to be shown, not one that is only decoded for others to refer to."""
        if packet.is_discard or not packet.size:
            return False
        return not self.has_hidden_frames or bool(memoryview(packet)[0] & VP8_SHOW_FRAME)


@contextmanager
def open_video(path: Path) -> Iterator[VideoSource]:
    """Open the first video stream of a file (a cover picture is none); close it at the end of the block.

    The decoder gets one thread: parallelism belongs to ranges, and a range must cost what it says.
    """
    with _open_container(path) as container:
        stream = _first_video_stream(container)
        stream.codec_context.thread_count = 1
        yield VideoSource(
            path,
            container,
            stream,
            has_audio=bool(container.streams.audio),
            has_hidden_frames=stream.codec_context.codec.canonical_name == "vp8",
        )


def _open_container(path: Path) -> InputContainer:
    path.open("rb").close()  # a file that is absent or may not be read is no fault of its content
    options = {"format_whitelist": f"{VIDEO_CONTAINERS},{SOUND_CONTAINERS}", "protocol_whitelist": "file"}
    try:
        return av.open(f"file:{path}", "r", container_options=options, metadata_errors="replace")
    except MemoryError:
        raise
    except av.FFmpegError as error:
        missing = missing_part(path)
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
