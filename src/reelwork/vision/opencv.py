"""OpenCV as Reelwork uses it: one thread a process, because the fan-out over processes is the parallelism.

Import `cv2` from here; a process that imports it elsewhere first would run OpenCV's own threads."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

cv2.setNumThreads(1)

Picture = npt.NDArray[np.uint8]
"""(height, width) gray or (height, width, 3) blue-green-red."""


def scaled_by_area(picture: Picture, width: int, height: int) -> Picture:
    """The picture at another size; every source pixel has its share when it shrinks."""
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


__all__ = ["Picture", "cv2", "scaled_by_area"]
