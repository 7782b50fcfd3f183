"""Which part of a picture is the product, where its mask can be believed; of a frame, if frames are masked at all.

A product before a plain ground has nearly all texture of its picture. Where a mask would leave out most of it, the
picture is the product (a printed box, a book), and what the mask found, or the people it left out, are in the print; or
it is a scene, of which the mask knows one thing and not the others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from reelwork.pipelines.match.features import Image, Mask
from reelwork.vision.keypoints import CONTRAST_CLEAR, KeypointDetector, Keypoints

if TYPE_CHECKING:
    from reelwork.vision.masks import ForegroundMask, ForegroundMasks

VERSION: Final = 1
BELIEVED_SHARE_MIN: Final = 0.75
"""Of the picture's keypoints, in its mask."""


def clear_detector() -> KeypointDetector:
    """Of what `product_mask` asks: the grain of a plain ground says nothing about where the product is."""
    return KeypointDetector(contrast_min=CONTRAST_CLEAR)


def product_mask(image: Image, masks: ForegroundMasks, detector: KeypointDetector) -> ForegroundMask:
    """The whole picture, people and all, where its mask is not to be believed."""
    found = masks.segment(image)
    if found.whole or share_inside(detector.detect(image), found.mask) >= BELIEVED_SHARE_MIN:
        return found
    return replace(found, mask=np.ones_like(found.mask), people_removed=False, whole=True)


def share_inside(keypoints: Keypoints, mask: Mask) -> float:
    """0..1: of a picture's keypoints, how many lie where its mask, bool (height, width), is True; 1 of none."""
    if len(keypoints) == 0:
        return 1.0
    columns, rows = np.rint(keypoints.points).astype(np.intp).T
    return float(mask[np.clip(rows, 0, keypoints.height - 1), np.clip(columns, 0, keypoints.width - 1)].mean())
