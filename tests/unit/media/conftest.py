"""Every kind of clip, made once and decoded plainly from beginning to end: what the media room is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from reelwork.media import FrameIndex, build_frame_index
from tests.clips import SOUND_CLIPS


@dataclass(frozen=True)
class DecodedClip:
    """`pictures` and `pts` are those of a plain decode of the whole file."""

    path: Path
    pts: list[int]
    pictures: list[npt.NDArray[np.uint8]]
    index: FrameIndex


class Clips:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, DecodedClip] = {}

    def __getitem__(self, name: str) -> DecodedClip:
        if name not in self._made:
            path = SOUND_CLIPS[name](self._folder / name)
            with av.open(str(path)) as container:
                frames = [(frame.pts, frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]
            self._made[name] = DecodedClip(
                path, [pts for pts, _ in frames], [picture for _, picture in frames], build_frame_index(path)
            )
        return self._made[name]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))
