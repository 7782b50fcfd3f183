"""Geometry without weights: the lower a thing stands in the picture, the nearer it is taken to be.

So most scenes are built: ground before, sky behind. It converts anything, and knows nothing of what it sees.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import numpy as np

from reelwork.events import Mode
from reelwork.media import convert_frames
from reelwork.pipelines.stereo.models import FRAME_PACKING, DepthRange
from reelwork.vision.opencv import Picture
from reelwork.vision.stereo import LAYOUTS, Disparity, ViewColumns, look, view_columns

NEAREST_FRACTION: Final = 0.01
FARTHEST_FRACTION: Final = -0.015
"""Of the width; within about 3 % of it, eyes fuse without strain (Woods et al., SPIE 1915, 1993)."""


class Shift:
    def depth_range(self, pictures: Iterable[Picture]) -> DepthRange | None:  # noqa: ARG002
        """It looks at no picture."""
        return None

    def process_segment(self, data: bytes, *, mode: Mode, depth_range: DepthRange | None = None) -> bytes:  # noqa: ARG002
        """The segment with two views made of each frame."""
        layout = LAYOUTS[mode]

        def convert(picture: Picture) -> Picture:
            height, width = picture.shape[:2]
            return layout(*look(picture, ramp_columns(height, width)))

        return convert_frames(data, convert, frame_packing=FRAME_PACKING.get(mode))


@lru_cache(1)
def ramp_columns(height: int, width: int) -> ViewColumns:
    """What both views are made from, of every picture of this size."""
    return view_columns(ramp(height, width))


def ramp(height: int, width: int) -> Disparity:
    """Disparities of a picture, in pixels: from the farthest in its top row to the nearest in the lowest."""
    rows = np.linspace(FARTHEST_FRACTION * width, NEAREST_FRACTION * width, height, dtype=np.float32)
    disparity: Disparity = np.repeat(rows[:, None], width, axis=1)
    return disparity
