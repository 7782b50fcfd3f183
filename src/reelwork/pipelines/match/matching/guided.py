"""A weak pose made better: once a few correspondences say about where the product is, its other keypoints are looked
for near where they must lie, and the map is fitted again to all that was found.

In a whole frame the nearest descriptor of a faint keypoint is seldom the right one; among those that lie at the right
place, are of the right size and turned the right way, it is.
"""

from __future__ import annotations

import numpy as np

from reelwork.pipelines.match.matching.consensus import consensuses
from reelwork.pipelines.match.matching.correspondences import Correspondences, Floats, Indices
from reelwork.pipelines.match.matching.described import Described
from reelwork.pipelines.match.matching.nearby import pairs_near
from reelwork.pipelines.match.matching.plane import Matrix, Points, fit_plane, local_scale, local_turn, project
from reelwork.vision.opencv import cv2

SEEDS_MAX = 3
"""Poses tried for each picture."""
MEMBERS_MIN = 3
REACHES = ((8.0, 0.25), (6.0, 0.12), (5.0, 0.06))
"""Of each round: pixels, and the fraction of the way from the nearest keypoint already found, by which it may miss."""
REACH_PIXELS_MAX = 28.0
COSINE_MIN = 0.74
SCALE_FACTOR_MAX = 1.8
TURN_DEGREES_MAX = 35.0
FOUND_MIN = 4
AFFINE_PIXELS = 4.0


def guided_planes(image: Described, frame: Described, pairs: Correspondences) -> list[Matrix]:
    """Maps of the picture into the frame (3 x 3, pixels), each grown out of a few correspondences that agree."""
    made = []
    for members in consensuses(image.keypoints, frame.keypoints, pairs, members_min=MEMBERS_MIN, count=SEEDS_MAX):
        grown = _grown(image, frame, pairs.image[members], pairs.frame[members])
        if grown is not None:
            made.append(grown)
    return made


def _grown(image: Described, frame: Described, of_image: Indices, of_frame: Indices) -> Matrix | None:
    source, target = image.keypoints.points, frame.keypoints.points
    matrix: Matrix | None = similarity(source[of_image], target[of_frame])
    for pixels, fraction in REACHES:
        if matrix is None:
            return None
        reach = _reach(matrix, source, of_image, pixels, fraction)
        of_image, of_frame = look_near(image, frame, matrix, reach)
        if len(of_image) < FOUND_MIN:
            return None
        matrix = _affine(source[of_image], target[of_frame])
    plane = fit_plane(source[of_image], target[of_frame], image.keypoints.width, image.keypoints.height)
    return None if plane is None else plane.homography


def look_near(image: Described, frame: Described, matrix: Matrix, reach: Floats) -> tuple[Indices, Indices]:
    """Keypoints of the picture and, of the frame, the likest that lies, is sized and turned as `matrix` says.

    reach: (n,) pixels of the frame, for each keypoint of the picture.
    """
    nothing = np.empty(0, np.intp)
    scales = image.keypoints.scales * local_scale(matrix, image.keypoints.points)
    visible = np.flatnonzero(scales * SCALE_FACTOR_MAX >= frame.keypoints.scales.min())
    if len(visible) == 0:
        return nothing, nothing
    expected, scales, reach = project(matrix, image.keypoints.points[visible]), scales[visible], reach[visible]
    row, there = pairs_near(expected, frame.keypoints.points, reach)
    factor = frame.keypoints.scales[there] / scales[row]
    turn = frame.keypoints.angles[there] - image.keypoints.angles[visible[row]] - local_turn(matrix)
    fits = (factor <= SCALE_FACTOR_MAX) & (factor >= 1 / SCALE_FACTOR_MAX)
    fits &= np.cos(np.deg2rad(turn)) >= np.cos(np.deg2rad(TURN_DEGREES_MAX))
    row, there = row[fits], there[fits]
    cosine = np.einsum("ij,ij->i", image.descriptors[visible[row]], frame.descriptors[there])
    alike = cosine >= COSINE_MIN
    row, there, cosine = row[alike], there[alike], cosine[alike]
    order = np.argsort(-cosine, kind="stable")
    row, there = row[order], there[order]
    _, first_of_row = np.unique(row, return_index=True)
    _, first_of_keypoint = np.unique(there, return_index=True)
    kept = np.intersect1d(first_of_row, first_of_keypoint)
    return visible[row[kept]], there[kept]


def similarity(source: Points, target: Points) -> Matrix:
    """3 x 3: the turn, scale and shift of least squared error; the points are (n, 2), n > 1."""
    a, b = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    from_middle = a - a.mean()
    factor = np.vdot(from_middle, b - b.mean()) / max(float(np.vdot(from_middle, from_middle).real), 1e-9)
    shift = b.mean() - factor * a.mean()
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag], [0, 0, 1]], np.float64
    )


def _reach(matrix: Matrix, points: Points, found: Indices, pixels: float, fraction: float) -> Floats:
    way = np.linalg.norm(points[:, None] - points[found][None], axis=2).min(axis=1)
    return np.asarray(np.minimum(pixels + fraction * way * local_scale(matrix, points), REACH_PIXELS_MAX), np.float32)


def _affine(source: Points, target: Points) -> Matrix | None:
    affine, inliers = cv2.estimateAffine2D(source, target, None, cv2.RANSAC, AFFINE_PIXELS)
    if affine is None or int(inliers.sum()) < FOUND_MIN:
        return None
    return np.vstack([affine, [0, 0, 1]])
