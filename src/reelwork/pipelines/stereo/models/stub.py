"""The model that converts nothing, for trying everything around it."""

from __future__ import annotations

from typing import Final

from reelwork.events import Mode
from reelwork.pipelines.stereo.models import DepthRange


class Stub:
    converts: Final = False

    def process_segment(self, data: bytes, *, mode: Mode, depth_range: DepthRange | None = None) -> bytes:  # noqa: ARG002
        """The segment as it came."""
        return data
