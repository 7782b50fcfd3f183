"""A picture with nothing but its product, as an embedding needs it: what stands beside it would count as well."""

from __future__ import annotations

from typing import Final

import numpy as np

from reelwork.pipelines.match.features import Image, Mask

BACKGROUND: Final = (104, 116, 124)
"""The mean colour (blue, green, red) that image encoders are trained around: to them it says nothing."""
MARGIN: Final = 0.05


def cut_out(image: Image, mask: Mask | None) -> Image:
    """The part of the picture that holds the product, with a small margin; the whole picture where nothing is masked.

    image: uint8 (H, W, 3), blue first. mask: bool (H, W), True = product.
    """
    if mask is None or not mask.any():
        return image
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    margin = round(MARGIN * max(rows[-1] - rows[0], columns[-1] - columns[0]))
    top, left = max(0, rows[0] - margin), max(0, columns[0] - margin)
    part = np.s_[top : rows[-1] + margin + 1, left : columns[-1] + margin + 1]
    background = np.array(BACKGROUND, np.uint8)
    return np.where(mask[part][:, :, None], image[part], background)
