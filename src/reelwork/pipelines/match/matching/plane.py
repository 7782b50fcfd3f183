"""The homography that takes a product's picture into a frame, and whether a camera could have made it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reelwork.vision.opencv import cv2

Points = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

INLIER_PIXELS = 3.0
INLIERS_MIN = 5
HOMOGRAPHY_POINTS_MIN = 9
"""Below, eight unknowns follow the noise; six (affine) are the honest model."""
ITERATIONS_MAX = 2_000
CONFIDENCE = 0.999
AREA_FACTOR_MIN, AREA_FACTOR_MAX = 0.01, 9.0
FORESHORTENING_MAX = 6.0
"""Largest ratio between the two directions in which a picture is shrunk: tilted by about 80 degrees."""
BEND_MAX = 4.0
"""Largest ratio of the scales at two corners of the picture."""


@dataclass(frozen=True, eq=False)
class Plane:
    """3 x 3, picture to frame in pixels, and which of the given points obey it."""

    homography: Matrix
    inliers: npt.NDArray[np.bool_]


def fit_plane(source: Points, target: Points, width: int, height: int) -> Plane | None:
    """MAGSAC++ homography (Barath et al., CVPR 2020), or an affine map when that is not one a camera could have made.

    `source` and `target` are (n, 2); `width` and `height` those of the product's picture. None when neither holds.
    """
    if len(source) >= HOMOGRAPHY_POINTS_MIN:
        homography, inliers = cv2.findHomography(
            source, target, cv2.USAC_MAGSAC, INLIER_PIXELS, None, ITERATIONS_MAX, CONFIDENCE
        )
        plane = _checked(homography, inliers, width, height)
        if plane is not None:
            return plane
    if len(source) < INLIERS_MIN:
        return None
    affine, inliers = cv2.estimateAffine2D(source, target, None, cv2.RANSAC, INLIER_PIXELS, ITERATIONS_MAX, CONFIDENCE)
    if affine is None:
        return None
    return _checked(np.vstack([affine, [0, 0, 1]]), inliers, width, height)


def project(homography: Matrix, points: Points) -> Points:
    """(n, 2) points of the picture, in the frame."""
    moved = np.column_stack([points, np.ones(len(points))]) @ homography.T
    return np.asarray(moved[:, :2] / moved[:, 2:], np.float32)


def local_scale(homography: Matrix, points: Points) -> npt.NDArray[np.float32]:
    """(n,): the square root of how much the area around each point grows; the determinant of the map's derivative."""
    depth = points @ homography[2, :2] + homography[2, 2]
    return np.asarray(np.sqrt(np.abs(np.linalg.det(homography) / depth**3)), np.float32)


def local_turn(homography: Matrix) -> float:
    """Degrees by which an affine map turns, clockwise as pixels count: of the turn nearest to it."""
    return float(np.rad2deg(np.arctan2(homography[1, 0] - homography[0, 1], homography[0, 0] + homography[1, 1])))


def corners(width: int, height: int) -> Points:
    """(4, 2), clockwise from the upper left."""
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)


def _checked(homography: npt.ArrayLike | None, inliers: npt.ArrayLike, width: int, height: int) -> Plane | None:
    if homography is None:
        return None
    matrix, obeying = np.asarray(homography, np.float64), np.asarray(inliers).reshape(-1).astype(np.bool_)
    if not np.isfinite(matrix).all() or obeying.sum() < INLIERS_MIN:
        return None
    return Plane(matrix, obeying) if _is_seen_by_a_camera(matrix, width, height) else None


def _is_seen_by_a_camera(homography: Matrix, width: int, height: int) -> bool:
    """The picture stays in front of the camera, unmirrored, of a sane size, and not squeezed beyond recognition."""
    outline = corners(width, height)
    depth = outline @ homography[2, :2] + homography[2, 2]
    if (depth * homography[2, 2] <= 0).any() or np.linalg.det(homography) * np.sign(homography[2, 2]) <= 0:
        return False
    scales = local_scale(homography, outline)
    if scales.max() > BEND_MAX * scales.min():
        return False
    if not AREA_FACTOR_MIN <= float(scales.mean()) ** 2 <= AREA_FACTOR_MAX:
        return False
    middle = np.array([width / 2, height / 2, 1])
    x, y, w = homography @ middle
    derivative = (homography[:2, :2] - np.outer([x / w, y / w], homography[2, :2])) / w
    largest, smallest = np.linalg.svd(derivative, compute_uv=False)
    return bool(largest <= FORESHORTENING_MAX * smallest)
