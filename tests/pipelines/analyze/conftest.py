"""Clips that analyzers are tested on: pictures chosen by a test, a real street, and scenes that cut and flash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from reelwork.vision import pull_model, pull_sample
from tests.weights import TEST_MODELS_DIR

Picture = npt.NDArray[np.uint8]

SCENE_LENGTHS = (20, 24, 3, 4, 2, 30, 1, 1, 1, 40, 9, 9, 9, 25)
"""Cuts far apart, cuts closer than the shortest shot, and single-frame flashes."""


def write_pictures(path: Path, pictures: Sequence[Picture], *, codec: str = "ffv1", keyframe_interval: int = 1) -> Path:
    """Gray pictures as a video; without loss by default."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = pictures[0].shape
        stream.pix_fmt = "yuv420p"
        stream.gop_size = keyframe_interval
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(autouse=True)
def models_dir(monkeypatch: pytest.MonkeyPatch) -> Path:
    """All of these tests use one folder of weights, and none of them the user's."""
    monkeypatch.setenv("REELWORK_MODELS_DIR", str(TEST_MODELS_DIR))
    return TEST_MODELS_DIR


@pytest.fixture(scope="session")
def detector_weights() -> Path:
    return pull_model("efficientdet-lite0", models_dir=TEST_MODELS_DIR)


@pytest.fixture(scope="session")
def bikes() -> Path:
    return pull_sample("bikes", models_dir=TEST_MODELS_DIR)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """178 frames of 320 x 180; each scene has its own texture and drifts a little from frame to frame."""
    noise = np.random.default_rng(7)
    pictures = []
    for length in SCENE_LENGTHS:
        blocks = noise.choice(np.array([16, 235], np.uint8), (9, 16))
        scene = blocks.repeat(20, axis=0).repeat(20, axis=1)
        pictures += [np.roll(scene, 2 * number, axis=1) for number in range(length)]
    path = tmp_path_factory.mktemp("clips") / "scenes.mp4"
    return write_pictures(path, pictures, codec="libx264", keyframe_interval=6)
