"""The model that converts nothing, for trying everything around it."""

from __future__ import annotations

from collections.abc import Iterable

from reelwork.events import Mode
from reelwork.pipelines.stereo.models import DepthRange
from reelwork.vision.opencv import Picture


class Stub:
    def depth_range(self, pictures: Iterable[Picture]) -> DepthRange | None:  # noqa: ARG002
        """It looks at no picture."""
        return None

    def process_segment(self, data: bytes, *, mode: Mode, depth_range: DepthRange | None = None) -> bytes:  # noqa: ARG002
        """The segment as it came."""
        return data
