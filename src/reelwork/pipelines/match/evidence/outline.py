"""The line around a product in its own picture, so that it can be drawn around it in a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reelwork.vision.opencv import Picture, cv2

PLAIN_TOLERANCE = 14
"""Levels by which a plain background may differ from its median."""
PLAIN_SHARE_MIN = 0.9
"""Of the border's pixels, how many must be plain to call it a background."""
FOREGROUND_SHARE_MIN = 0.02
SIMPLIFIED_BY = 0.004
"""Of the longer side: corners closer to the line than this are left out."""


def outline_of(picture: Picture) -> npt.NDArray[np.float32]:
    """(n, 2) corners, in pixels: the hull of what stands before a plain background, else the picture's own edge."""
    height, width = picture.shape[:2]
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]]).astype(np.int16)
    plain = np.median(border, axis=0)
    if (np.abs(border - plain).max(axis=1) <= PLAIN_TOLERANCE).mean() >= PLAIN_SHARE_MIN:
        differs = (np.abs(picture.astype(np.int16) - plain).max(axis=2) > PLAIN_TOLERANCE).astype(np.uint8)
        differs = cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        if differs.mean() >= FOREGROUND_SHARE_MIN:
            hull = cv2.convexHull(cv2.findNonZero(differs))
            simple = cv2.approxPolyDP(hull, SIMPLIFIED_BY * max(width, height), True)
            if len(simple) >= 3:
                return np.asarray(simple.reshape(-1, 2), np.float32)
    return np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
