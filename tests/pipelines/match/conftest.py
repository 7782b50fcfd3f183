"""Clips, pictures and folders that the parts of the match pipeline are tested on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from reelwork.pipelines.match.access import Access
from reelwork.settings import Config
from reelwork.vision.opencv import cv2

Picture = npt.NDArray[np.uint8]


def textured(seed: int, *, width: int = 192, height: int = 108) -> Picture:
    """A sharp, coloured picture that no other seed gives."""
    blocks = np.random.default_rng(seed).integers(0, 255, (height // 12, width // 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def blurred(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 12), np.uint8)


def write_video(
    path: Path,
    pictures: Sequence[Picture],
    *,
    rate: int = 10,
    codec: str = "ffv1",
    keyframe_interval: int = 1,
    rotation: int = 0,
) -> Path:
    """BGR pictures as a video; without loss by default. rotation: degrees by which a player is to turn it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = keyframe_interval
        if rotation:
            stream.set_display_rotation(rotation)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def access(tmp_path: Path) -> Access:
    """Jobs may read the test's own folder."""
    return Access.of(Config(REELWORK_SOURCE_FOLDERS=str(tmp_path), REELWORK_ALLOWED_NETWORKS="127.0.0.1"))
