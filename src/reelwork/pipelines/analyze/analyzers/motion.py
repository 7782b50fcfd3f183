"""`motion`: how much a frame differs from the processed frame before it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from reelwork.media import Frame
from reelwork.pipelines.analyze.analyzers.base import Observation, SequenceAnalyzer, comparable

PICTURE_WIDTH = 320


class MotionResult(BaseModel):
    """Both are None where there is no frame to compare with; luma is 0..255."""

    model_config = ConfigDict(frozen=True)

    mean_change: float | None = Field(description="mean absolute difference of luma")
    temporal_information: float | None = Field(description="standard deviation over space of the difference of luma")


class Motion(SequenceAnalyzer[MotionResult, MotionResult]):
    """Mean absolute frame difference, and temporal information as ITU-T P.910 (10/2023), 7.8, defines it for one frame.

    Both on luma scaled to one width: cheap, robust against noise, and comparable between videos."""

    name = "motion"
    result = MotionResult
    measure = MotionResult

    def observe(self, frame: Frame) -> Observation:
        return frame.small_gray(min(PICTURE_WIDTH, frame.width))

    def compare(self, previous: Observation | None, current: Observation) -> MotionResult:
        if previous is None or not comparable(previous, current):
            return MotionResult(mean_change=None, temporal_information=None)
        difference = current.astype(np.int32) - previous
        # Sums of integers are exact, whatever their order.
        pixels = difference.size
        mean = int(difference.sum()) / pixels
        mean_square = int((difference * difference).sum()) / pixels
        return MotionResult(
            mean_change=round(int(np.abs(difference).sum()) / pixels, 3),
            temporal_information=round(math.sqrt(max(mean_square - mean * mean, 0.0)), 3),
        )

    def timeline(self, measures: Iterator[tuple[int, MotionResult]]) -> Iterator[MotionResult]:
        return (measure for _, measure in measures)
