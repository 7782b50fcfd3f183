"""`quality`: how a frame looks, and a hash by which near-equal frames are found.

Measured on a luma picture of one width for all videos, so that numbers of a 1080p and of a 4K video can be compared."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from reelwork.media import Frame
from reelwork.pipelines.analyze.analyzers.base import FrameAnalyzer
from reelwork.vision.measures import sharpness
from reelwork.vision.opencv import Picture, cv2, scaled_by_area

PICTURE_WIDTH = 640
HASH_PICTURE_SIDE = 32
HASH_SIDE = 8


class QualityResult(BaseModel):
    """Luma is 0 (black) to 255 (white)."""

    model_config = ConfigDict(frozen=True)

    brightness: float = Field(description="mean luma")
    contrast: float = Field(description="root mean square contrast: standard deviation of luma")
    sharpness: float = Field(description="variance of the Laplacian of luma; a blurred frame has little")
    perceptual_hash: str = Field(
        description="64-bit pHash, 16 hexadecimal digits; near-equal frames differ in few bits"
    )


class Quality(FrameAnalyzer[QualityResult]):
    """Brightness, contrast, sharpness and a perceptual hash of each frame."""

    name = "quality"
    result = QualityResult

    def analyze(self, frame: Frame) -> QualityResult:
        luma = frame.small_gray(min(PICTURE_WIDTH, frame.width))
        mean, deviation = cv2.meanStdDev(luma)
        return QualityResult(
            brightness=round(float(mean[0, 0]), 2),
            contrast=round(float(deviation[0, 0]), 2),
            sharpness=round(sharpness(luma), 2),
            perceptual_hash=perceptual_hash(luma),
        )


def perceptual_hash(luma: Picture) -> str:
    """Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010: signs of the lowest 8 x 8
    frequencies around their median. Rounded first, so that a flat picture has no bits of numerical noise."""
    small = scaled_by_area(luma, HASH_PICTURE_SIDE, HASH_PICTURE_SIDE)
    lowest = np.rint(np.asarray(cv2.dct(small.astype(np.float32)))[:HASH_SIDE, :HASH_SIDE])
    bits = lowest > np.median(lowest)
    return np.packbits(bits).tobytes().hex()
