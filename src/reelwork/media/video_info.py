"""What there is to know about a video as a whole; plain data that also crosses the border of the probing process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VideoInfo:
    """Width and height are those of the decoded pictures: a rotation that the header asks for is NOT applied.

    `frame_count` counts presented frames; `frame_rate` is their average, in frames a second.
    """

    codec: str
    width: int
    height: int
    frame_count: int
    duration_seconds: float
    frame_rate: float
    has_audio: bool
