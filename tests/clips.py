"""Tiny real videos, made with PyAV, for everyone's tests. Each frame shows its own number as bright and dark blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

NUMBER_BITS = 16
NUMBER_COLUMNS = 4
NUMBER_ROWS = NUMBER_BITS // NUMBER_COLUMNS
DARK, BRIGHT = 40, 200
Size = tuple[int, int]


def write_clip(
    path: Path,
    *,
    frames: int = 30,
    size: Size = (64, 48),
    keyframe_interval: int = 10,
    bframes: int = 0,
    rate: int = 25,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pts: Iterable[int] | None = None,
    audio: bool = False,
) -> Path:
    """Encode `frames` numbered frames; `pts` gives their times in units of 1/1000 s (even spacing by default)."""
    width, height = size
    times = list(pts) if pts is not None else list(range(frames))
    time_base = Fraction(1, 1000) if pts is not None else Fraction(1, rate)
    with av.open(str(path), "w") as container:
        video = container.add_stream(
            codec, rate=rate, options=_encoder_options(codec, keyframe_interval, bframes, options)
        )
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.time_base = time_base
        sound = container.add_stream("aac", rate=48000, layout="mono") if audio else None
        for number, time in enumerate(times):
            picture = av.VideoFrame.from_ndarray(numbered_picture(number, size), format="yuv420p")
            picture.pts, picture.time_base = time, time_base
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if sound is not None:
            _write_silence(container, sound, seconds=len(times) / rate)
    return path


def _encoder_options(
    codec: str, keyframe_interval: int, bframes: int, options: Mapping[str, str] | None
) -> dict[str, str]:
    chosen = {"g": str(keyframe_interval), "bf": str(bframes)}
    if codec == "libx264":
        chosen |= {"preset": "ultrafast", "sc_threshold": "0", "threads": "1", "b-pyramid": "none"}
    elif codec == "libx265":
        chosen |= {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1:scenecut=0"}
    return chosen | dict(options or {})


def _write_silence(container: av.container.OutputContainer, sound: av.AudioStream, seconds: float) -> None:
    samples = 1024
    for number in range(max(1, int(seconds * 48000 / samples))):
        block = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = 48000, number * samples, Fraction(1, 48000)
        container.mux(sound.encode(block))
    container.mux(sound.encode(None))


def numbered_picture(number: int, size: Size) -> npt.NDArray[np.uint8]:
    """A yuv420p picture (height * 3 / 2, width) with the number in 16 blocks and some moving texture below them."""
    width, height = size
    picture = np.full((height * 3 // 2, width), 128, np.uint8)
    picture[:height] = (np.arange(width, dtype=np.int64) * 3 + number * 5) % 60 + 90
    block_width, block_height = width // NUMBER_COLUMNS, height // 2 // NUMBER_ROWS
    for bit in range(NUMBER_BITS):
        row, column = divmod(bit, NUMBER_COLUMNS)
        top, left = row * block_height, column * block_width
        picture[top : top + block_height, left : left + block_width] = BRIGHT if number >> bit & 1 else DARK
    return picture


def shown_number(gray: npt.NDArray[np.uint8]) -> int:
    """The number that a decoded picture shows; any full-range or limited-range luma will do."""
    height, width = gray.shape
    block_width, block_height = width // NUMBER_COLUMNS, height // 2 // NUMBER_ROWS
    number = 0
    for bit in range(NUMBER_BITS):
        row, column = divmod(bit, NUMBER_COLUMNS)
        y, x = row * block_height + block_height // 2, column * block_width + block_width // 2
        number |= int(gray[y, x] > (DARK + BRIGHT) // 2) << bit
    return number
