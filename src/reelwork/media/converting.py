"""Makes new pictures of a segment's frames, one for each at the same time, and encodes them.

The same segment gives the same bytes: two workers on one segment do not contradict each other.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from av import VideoFrame
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from reelwork.errors import UndecodableFrames, UnreadableMedia
from reelwork.media.source import NO_DECODING

Picture = npt.NDArray[np.uint8]
"""Blue, green and red, (height, width, 3)."""

QUARTER_TURN_DEGREES: Final = 90
QUALITY: Final = "18"
"""libx264's constant rate factor; at 18 few people see a difference to the source."""
PRESET: Final = "veryfast"


def convert_frames(data: bytes, convert: Callable[[Picture], Picture], *, frame_packing: int | None = None) -> bytes:
    """An MP4 file of H.264 with a picture for each of the segment's.

    frame_packing: H.264's frame_packing_arrangement_type, which tells players how two views lie in one picture. A turn
    that the source's header asks for is carried out. Raises UnreadableMedia, UndecodableFrames.
    """
    buffer = io.BytesIO()
    with _opened(data) as source, av.open(buffer, "w", format="mp4") as made:
        given = source.streams.video[0]
        encoder: VideoStream | None = None
        for frame in _whole(source, given):
            picture = even(convert(_upright(frame)))
            if encoder is None:
                encoder = _encoder(made, given, picture, frame_packing)
            converted = VideoFrame.from_ndarray(picture, format="bgr24")
            converted.pts, converted.time_base = frame.pts, given.time_base
            made.mux(encoder.encode(converted))
        if encoder is None:
            raise UnreadableMedia("the segment holds no frames")
        made.mux(encoder.encode(None))
    return buffer.getvalue()


def frames_of(data: bytes, *, count_max: int) -> Iterator[Picture]:
    """Some pictures of a segment, spread over it. Raises UnreadableMedia, UndecodableFrames."""
    step = max(1, -(-count_frames(data) // count_max))
    with _opened(data) as source:
        for number, frame in enumerate(_whole(source, source.streams.video[0])):
            if number % step == 0:
                yield _upright(frame)


def count_frames(data: bytes) -> int:
    """How many frames an MP4 file presents, by its packets. Raises UnreadableMedia."""
    with _opened(data, NO_DECODING) as container:
        stream = container.streams.video[0]
        return sum(1 for packet in container.demux(stream) if packet.size and not packet.is_discard)


def even(picture: Picture) -> Picture:
    """Colour at half resolution needs an even width and height: the last row or column is repeated."""
    height, width = picture.shape[:2]
    if not height % 2 and not width % 2:
        return picture
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _opened(data: bytes, options: Mapping[str, str] | None = None) -> InputContainer:
    """options: of its pictures' decoder."""
    decoders: list[Any] = [dict(options)] if options else []
    try:
        return av.open(io.BytesIO(data), "r", format="mp4", stream_options=decoders)
    except av.FFmpegError as error:
        raise UnreadableMedia(f"the segment is not a video ({error.strerror})") from error


def _whole(source: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    stream.codec_context.thread_count = 1
    try:
        for number, frame in enumerate(source.decode(stream)):
            if frame.is_corrupt:
                raise UndecodableFrames(f"the picture of frame {number} of the segment is damaged")
            yield frame
    except av.FFmpegError as error:
        raise UndecodableFrames(f"the segment cannot be decoded to its end ({error.strerror})") from error


def _upright(frame: VideoFrame) -> Picture:
    picture = np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8)
    turns = round(frame.rotation / QUARTER_TURN_DEGREES) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _encoder(made: OutputContainer, given: VideoStream, picture: Picture, frame_packing: int | None) -> VideoStream:
    height, width = picture.shape[:2]
    options = {"crf": QUALITY, "preset": PRESET, "threads": "1", "bf": "0"}  # without reordering times join as they are
    if frame_packing is not None:
        options["x264-params"] = f"frame-packing={frame_packing}"
    encoder = made.add_stream("libx264", rate=given.average_rate or Fraction(25), options=options)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.codec_context.time_base = given.time_base or Fraction(1, 90_000)
    return encoder
