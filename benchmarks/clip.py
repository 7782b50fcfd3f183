"""The video that is measured on: 1080p H.264 as a camera would give it, made once and kept in .cache.

Fractal texture (its spectrum is that of natural pictures) under a camera that pans, things that move across it, sensor
noise, and a cut every few seconds; 25 frames a second, a keyframe every 2 seconds at least, B-frames.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from reelwork.media import build_frame_index

WIDTH, HEIGHT, RATE = 1920, 1080, 25
KEYFRAME_INTERVAL = 50
SCENE_FRAMES = 180
SCENES = 8
MARGIN = 512
THINGS = 6
THING_SIDE = 160
NOISE_PICTURES = 5
VERSION = 1

Plane = npt.NDArray[np.uint8]


def clip_of(seconds: int, folder: Path, *, on_progress: Callable[[int, int], None] | None = None) -> Path:
    """The clip of this length, made on the first call."""
    path = folder / f"1080p-{seconds}s-v{VERSION}.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.mp4")
        _write(unfinished, seconds * RATE, on_progress)
        os.replace(unfinished, path)
    return path


def repeated(clip: Path, times: int) -> Path:
    """The clip, several times behind itself: its packets copied, nothing encoded."""
    path = clip.with_stem(f"{clip.stem}-x{times}")
    if path.exists():
        return path
    unfinished = path.with_suffix(".part.mp4")
    with av.open(str(unfinished), "w") as made:
        copy, shift = None, 0
        for _ in range(times):
            with av.open(str(clip)) as given:
                stream = given.streams.video[0]
                if copy is None:
                    copy = made.add_stream_from_template(stream)
                for packet in given.demux(stream):
                    if packet.size and packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, copy
                        made.mux(packet)
                shift += stream.duration or 0
    assert len(build_frame_index(unfinished)) == times * len(build_frame_index(clip))
    os.replace(unfinished, path)
    return path


def _write(path: Path, frames: int, on_progress: Callable[[int, int], None] | None) -> None:
    options = {"preset": "fast", "crf": "23", "g": str(KEYFRAME_INTERVAL), "threads": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, picture in enumerate(pictures(frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
            if on_progress is not None:
                on_progress(number + 1, frames)
        container.mux(stream.encode(None))


def pictures(frames: int) -> Iterator[Plane]:
    """yuv420p pictures, (HEIGHT * 3 / 2, WIDTH)."""
    random = np.random.default_rng(20)
    scenes = [_scene(random) for _ in range(SCENES)]
    noise = [random.normal(0, 1.5, (HEIGHT, WIDTH)).round().astype(np.int16) for _ in range(NOISE_PICTURES)]
    for number in range(frames):
        scene, age = divmod(number, SCENE_FRAMES)
        luma, blue, red = scenes[scene % SCENES]
        x = 2 * int(MARGIN / 4 * (1 + np.sin(2 * np.pi * age / (SCENE_FRAMES * 1.7) + scene)))
        y = 2 * int(MARGIN / 4 * (1 + np.cos(2 * np.pi * age / (SCENE_FRAMES * 2.3) + scene)))
        picture = luma[y : y + HEIGHT, x : x + WIDTH].astype(np.int16)
        for thing in range(THINGS):
            top = (131 * (thing + 1) + scene * 57 + age * (thing % 3)) % (HEIGHT - THING_SIDE)
            left = (263 * (thing + 1) + age * (3 + 2 * thing)) % (WIDTH - THING_SIDE)
            patch = luma[thing * 40 : thing * 40 + THING_SIDE, left // 2 : left // 2 + THING_SIDE]
            picture[top : top + THING_SIDE, left : left + THING_SIDE] = 255 - patch
        picture += noise[number % NOISE_PICTURES]
        chroma = [plane[y // 2 : (y + HEIGHT) // 2, x // 2 : (x + WIDTH) // 2] for plane in (blue, red)]
        yield np.concatenate(
            [np.clip(picture, 16, 235).astype(np.uint8), *(plane.reshape(-1, WIDTH) for plane in chroma)]
        )


def _scene(random: np.random.Generator) -> tuple[Plane, Plane, Plane]:
    """Luma, and both colours at half its size, larger than a picture by MARGIN."""
    height, width = HEIGHT + MARGIN, WIDTH + MARGIN
    half = (height // 2, width // 2)
    return _texture(random, (height, width), 45), _texture(random, half, 18), _texture(random, half, 18)


def _texture(random: np.random.Generator, shape: tuple[int, int], deviation: float) -> Plane:
    """Noise whose amplitude falls with the frequency, as that of natural pictures does (Field, 1987)."""
    height, width = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(random.normal(size=shape)) / frequency**1.2
    spectrum[0, 0] = 0
    picture = np.fft.irfft2(spectrum, s=shape)
    plane: Plane = np.clip(128 + picture / picture.std() * deviation, 16, 235).astype(np.uint8)
    return plane
