"""Two views from one picture and how near each of its points is: depth image based rendering.

Fehn, "Depth-image-based rendering (DIBR), compression and transmission for a new approach on 3D-TV", SPIE 5291, 2004.
What is near hides what is far; what no pixel reaches is filled from the farther side, where the background goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from reelwork.vision.opencv import Picture, cv2

Disparity = npt.NDArray[np.float32]
"""Pixels between a point's places in the two views, left minus right, (height, width); positive: before the screen."""
ViewColumns = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""For the left and the right view, (height, width) each."""

STEPS_PER_PIXEL: Final = 16  # finer differences of disparity are not told apart when one point hides another
DISPARITY_PIXELS_MAX: Final = 512.0
EMPTY: Final = np.iinfo(np.int16).min
BORDER: Final = np.iinfo(np.int16).max

# Dubois, "A projection method to generate anaglyph stereo images", ICASSP 2001: least squares for red and cyan glasses.
# Rows: blue, green, red of the result; columns: blue, green, red of the view.
DUBOIS_LEFT: Final = np.array(
    [[-0.005, -0.021, -0.015], [-0.016, -0.038, -0.040], [0.176, 0.500, 0.456]], dtype=np.float32
)
DUBOIS_RIGHT: Final = np.array(
    [[1.226, -0.113, -0.072], [-0.018, 0.734, 0.378], [-0.002, -0.088, -0.043]], dtype=np.float32
)
DUBOIS: Final = np.hstack([DUBOIS_LEFT, DUBOIS_RIGHT])


def render_views(picture: Picture, disparity: Disparity) -> tuple[Picture, Picture]:
    """The left and the right view, as large as the picture (height, width, 3).

    Raises ValueError for disparities that do not fit the picture, or of more than DISPARITY_PIXELS_MAX.
    """
    return look(picture, view_columns(disparity))


def look(picture: Picture, columns: ViewColumns) -> tuple[Picture, Picture]:
    """The views of which it is known where their pixels come from. Raises ValueError where that does not fit."""
    height, width = picture.shape[:2]
    if columns[0].shape != (height, width):
        raise ValueError(f"disparity is {columns[0].shape}, the picture {(height, width)}")
    rows = _rows(height, width)
    left, right = (
        np.asarray(cv2.remap(picture, own, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)
        for own in columns
    )
    return left, right


def view_columns(disparity: Disparity) -> ViewColumns:
    """Where in its row of the picture each pixel of the left and of the right view comes from; good for any picture."""
    if not np.isfinite(disparity).all() or np.abs(disparity).max() > DISPARITY_PIXELS_MAX:
        raise ValueError(f"disparities are at most {DISPARITY_PIXELS_MAX:g} pixels")
    halves = np.rint(disparity * (STEPS_PER_PIXEL / 2)).astype(np.int16)
    return _source_columns(_project(halves, 1), 1), _source_columns(_project(halves, -1), -1)


@lru_cache(1)
def _rows(height: int, width: int) -> npt.NDArray[np.float32]:
    return np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)


def _project(halves: npt.NDArray[np.int16], side: int) -> npt.NDArray[np.int16]:
    """How near the point is that each pixel of the view shows; EMPTY where it shows none. One column more at each end.

    halves: half the disparity, in steps; side: 1 for the left view, where what is near lies further to the right. So of
    two points of a row that meet there, the nearer one is that further left in the picture: it is written last.
    """
    height, width = halves.shape
    pixels = (halves.astype(np.int32) * side + STEPS_PER_PIXEL // 2) // STEPS_PER_PIXEL
    columns = np.clip(pixels + np.arange(1, width + 1, dtype=np.int32), 0, width + 1)
    targets = columns + np.arange(height, dtype=np.int32)[:, None] * (width + 2)
    seen = np.full(height * (width + 2), EMPTY, np.int16)
    seen[targets[:, ::-side].ravel()] = halves[:, ::-side].ravel()
    return seen.reshape(height, width + 2)


def _source_columns(seen: npt.NDArray[np.int16], side: int) -> npt.NDArray[np.float32]:
    """Where in its row of the picture each pixel of the view comes from.

    A gap shows what nobody has seen. It gets the farther of its neighbours, mirrored: the background goes on like that.
    """
    width = seen.shape[1] - 2
    seen[:, [0, -1]] = BORDER
    sources = np.arange(-1, width + 1, dtype=np.float32) - seen * np.float32(side / STEPS_PER_PIXEL)
    is_empty = seen.ravel() == EMPTY
    if is_empty.any():
        steps = np.flatnonzero(is_empty[1:] != is_empty[:-1])
        lefts, rights = steps[::2], steps[1::2] + 1
        near, flat = seen.ravel(), sources.ravel()
        is_from_left = (near[rights] == BORDER) | ((near[lefts] != BORDER) & (near[lefts] <= near[rights]))
        edges = np.repeat(np.where(is_from_left, lefts, rights), rights - lefts - 1)
        gaps = np.flatnonzero(is_empty)
        flat[gaps] = np.clip(flat[edges] - (gaps - edges).astype(np.float32), 0, np.float32(width - 1))
    return np.ascontiguousarray(sources[:, 1:-1])


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
    return np.asarray(cv2.transform(np.concatenate([left, right], axis=2), DUBOIS), dtype=np.uint8)


LAYOUTS: Final[dict[str, Callable[[Picture, Picture], Picture]]] = {
    "sbs": side_by_side,
    "sbs-half": side_by_side_half,
    "anaglyph": anaglyph,
}
