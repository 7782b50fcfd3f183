"""Keypoints of the product alone, where the mask of its picture can be believed.

A product before a plain ground has nearly all texture of its picture. Where a mask would leave out most of it, the
picture is the product (a printed box, a book), and what the mask found is a thing in the print.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reelwork.pipelines.match.matching.described import taken
from reelwork.vision.keypoints import Keypoints

BELIEVED_SHARE_MIN = 0.75
"""Of the picture's keypoints, in the mask; below, all are kept."""


def masked(keypoints: Keypoints, mask: npt.NDArray[np.bool_]) -> Keypoints:
    """Those of a picture's keypoints that lie where `mask`, bool (height, width), is True; or all of them."""
    if mask.shape != (keypoints.height, keypoints.width):
        raise ValueError(f"a mask of this picture is {(keypoints.height, keypoints.width)}, not {mask.shape}")
    columns, rows = np.rint(keypoints.points).astype(np.intp).T
    inside = mask[np.clip(rows, 0, keypoints.height - 1), np.clip(columns, 0, keypoints.width - 1)]
    if inside.sum() < BELIEVED_SHARE_MIN * len(keypoints):
        return keypoints
    return taken(keypoints, np.flatnonzero(inside))
