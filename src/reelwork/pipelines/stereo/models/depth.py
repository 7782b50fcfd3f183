"""Views from the depth that a network sees, in one range for the whole video: nothing jumps between segments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reelwork.events import Mode
from reelwork.media import convert_frames, frames_of
from reelwork.pipelines.stereo.models import FRAME_PACKING, DepthRange
from reelwork.vision.depth import DepthEstimator
from reelwork.vision.opencv import Picture
from reelwork.vision.stereo import LAYOUTS, render_views

SAMPLED_IN_SEGMENT: Final = 8
FLAT: Final[DepthRange] = (0.0, 1.0)


class Depth:
    """estimator: the network."""

    def __init__(self, estimator: DepthEstimator) -> None:
        self._estimator = estimator

    def depth_range(self, pictures: Iterable[Picture]) -> DepthRange | None:
        return self._estimator.depth_range(pictures)

    def process_segment(self, data: bytes, *, mode: Mode, depth_range: DepthRange | None = None) -> bytes:
        """depth_range: of the whole video; else that of some frames of the segment, which may jump at its ends."""
        within = depth_range or self.depth_range(frames_of(data, count_max=SAMPLED_IN_SEGMENT)) or FLAT
        layout = LAYOUTS[mode]

        def convert(picture: Picture) -> Picture:
            return layout(*render_views(picture, self._estimator.disparity(picture, within)))

        return convert_frames(data, convert, frame_packing=FRAME_PACKING.get(mode))
