"""Two views from one picture and how near each of its points is: depth image based rendering.

Fehn, "Depth-image-based rendering (DIBR), compression and transmission for a new approach on 3D-TV", SPIE 5291, 2004.
What is near hides what is far; what no pixel reaches is filled from the farther side, where the background goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from reelwork.vision.opencv import Picture, cv2

Disparity = npt.NDArray[np.float32]
"""Pixels between a point's places in the two views, left minus right, (height, width); positive: before the screen."""

STEPS_PER_PIXEL: Final = 16  # finer differences of disparity are not told apart when one point hides another
DISPARITY_PIXELS_MAX: Final = 512.0
EMPTY: Final = np.iinfo(np.int16).min

# Dubois, "A projection method to generate anaglyph stereo images", ICASSP 2001: least squares for red and cyan glasses.
# Rows: blue, green, red of the result; columns: blue, green, red of the view.
DUBOIS_LEFT: Final = np.array(
    [[-0.005, -0.021, -0.015], [-0.016, -0.038, -0.040], [0.176, 0.500, 0.456]], dtype=np.float32
)
DUBOIS_RIGHT: Final = np.array(
    [[1.226, -0.113, -0.072], [-0.018, 0.734, 0.378], [-0.002, -0.088, -0.043]], dtype=np.float32
)


def render_views(picture: Picture, disparity: Disparity) -> tuple[Picture, Picture]:
    """The left and the right view, as large as the picture (height, width, 3).

    Raises ValueError for disparities that do not fit the picture, or of more than DISPARITY_PIXELS_MAX.
    """
    if disparity.shape != picture.shape[:2]:
        raise ValueError(f"disparity is {disparity.shape}, the picture {picture.shape[:2]}")
    steps = disparity * (STEPS_PER_PIXEL / 2)
    if not np.isfinite(disparity).all() or np.abs(disparity).max() > DISPARITY_PIXELS_MAX:
        raise ValueError(f"disparities are at most {DISPARITY_PIXELS_MAX:g} pixels")
    halves = np.rint(steps).astype(np.int16)
    return _view(picture, halves, 1), _view(picture, halves, -1)


def _view(picture: Picture, halves: npt.NDArray[np.int16], side: int) -> Picture:
    """halves: half the disparity, in steps; side: 1 for the left view, where what is near lies further to the right."""
    columns = _source_columns(_project(halves, side), side)
    height, width = halves.shape
    rows = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], (height, width))
    view = cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(view, dtype=np.uint8)


def _project(halves: npt.NDArray[np.int16], side: int) -> npt.NDArray[np.int16]:
    """How near the point is that each pixel of the view shows; EMPTY where it shows none."""
    height, width = halves.shape
    pixels = (halves.astype(np.int32) * side + STEPS_PER_PIXEL // 2) // STEPS_PER_PIXEL
    columns = np.arange(width, dtype=np.int32) + pixels
    targets = columns + np.arange(height, dtype=np.int32)[:, None] * width
    is_inside = (columns >= 0) & (columns < width)
    near, places = halves[is_inside], targets[is_inside]
    order = np.argsort(near, kind="stable")  # the nearest is written last; on 16 bits this sort takes linear time
    view = np.full(height * width, EMPTY, np.int16)
    view[places[order]] = near[order]
    return view.reshape(height, width)


def _source_columns(seen: npt.NDArray[np.int16], side: int) -> npt.NDArray[np.float32]:
    """Where in its row of the picture each pixel of the view comes from.

    A gap shows what nobody has seen. It gets the farther of its neighbours, mirrored: the background goes on like that.
    """
    width = seen.shape[1]
    columns = np.arange(width, dtype=np.int32)
    sources = columns.astype(np.float32) - seen * np.float32(side / STEPS_PER_PIXEL)
    is_empty = seen == EMPTY
    if not is_empty.any():
        return sources
    before = np.maximum.accumulate(np.where(is_empty, -1, columns), axis=1)
    behind = np.minimum.accumulate(np.where(is_empty, width, columns)[:, ::-1], axis=1)[:, ::-1]
    left, right = np.maximum(before, 0), np.minimum(behind, width - 1)
    is_left_farther = np.take_along_axis(seen, left, axis=1) <= np.take_along_axis(seen, right, axis=1)
    is_from_left = (behind == width) | ((before >= 0) & is_left_farther)
    edge = np.where(is_from_left, left, right)
    mirrored = np.take_along_axis(sources, edge, axis=1) - (columns - edge).astype(np.float32)
    return np.where(is_empty, np.clip(mirrored, 0, np.float32(width - 1)), sources)


def side_by_side(left: Picture, right: Picture) -> Picture:
    """Both views in full: twice as wide."""
    return np.hstack([left, right])


def side_by_side_half(left: Picture, right: Picture) -> Picture:
    """Both views at half their width: as wide as one. An odd width gives the left view the column more."""
    height, width = left.shape[:2]
    first = width - width // 2
    half = np.empty_like(left)
    cv2.resize(left, (first, height), dst=half[:, :first], interpolation=cv2.INTER_AREA)
    cv2.resize(right, (width - first, height), dst=half[:, first:], interpolation=cv2.INTER_AREA)
    return half


def anaglyph(left: Picture, right: Picture) -> Picture:
    """One picture for red and cyan glasses."""
    mixed = cv2.transform(left.astype(np.float32), DUBOIS_LEFT) + cv2.transform(right.astype(np.float32), DUBOIS_RIGHT)
    return np.asarray(np.clip(np.rint(mixed), 0, 255), dtype=np.uint8)


LAYOUTS: Final[dict[str, Callable[[Picture, Picture], Picture]]] = {
    "sbs": side_by_side,
    "sbs-half": side_by_side_half,
    "anaglyph": anaglyph,
}
