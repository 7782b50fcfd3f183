"""Whether a frame shows what a product's picture shows: first by place, then by a second look at every place.

The second look is what tells look-alikes apart. Once the homography says where each keypoint of the product should be,
the frame agrees there, or shows something else, or shows nothing (blurred, hidden, too small). Two boxes of one brand
share their logo, and agree there; everywhere else they contradict each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reelwork.pipelines.match.matching.consensus import largest_consensus
from reelwork.pipelines.match.matching.correspondences import Correspondences, Floats, Indices, correspond
from reelwork.pipelines.match.matching.described import Described
from reelwork.pipelines.match.matching.nearby import pairs_near
from reelwork.pipelines.match.matching.plane import Matrix, Points, fit_plane, local_scale, project
from reelwork.vision.keypoints import Keypoints
from reelwork.vision.opencv import cv2

PLACE_PIXELS_MAX = 4.0
PLACE_SCALES_MAX = 0.6
"""A keypoint is found again within so many pixels, or this many of its own scales, of where it should be."""
SCALE_FACTOR_MAX = 1.7
AGREEING_COSINE_MIN = 0.78
AGREEING_MIN = 6
TELLING_MIN = 4
"""Of the agreeing places, those that no other product of the catalogue has."""
CELLS = 5
"""Coverage is counted on a grid of so many by so many cells."""
CELL_KEYPOINTS_MIN = 2
SAME_PLACE_PIXELS = 3.0


@dataclass(frozen=True)
class Evidence:
    """What a second look at every place of the product found."""

    agreeing: int
    """Distinct places where the frame shows the same."""
    contradicting: int
    """Distinct places where the frame shows something else of the same size."""
    coverage: float
    """0..1: of the product's parts that have texture, how many mostly agree."""
    seen: float
    """0..1: the same, of the parts whose texture is large enough to be seen from there."""
    contradiction: float
    """0..1: of these parts, how many show mostly something else. What is hidden behind something plain is neither."""
    spread: float
    """0..1: of the product's textured area, how much lies between agreeing places."""
    likeness: float
    """Mean cosine between the descriptors of agreeing places."""


@dataclass(frozen=True, eq=False)
class Verification:
    """A product's picture found in a frame."""

    homography: Matrix
    evidence: Evidence
    image_keypoints: Indices
    """(n,) of the agreeing keypoints of the picture, shared ones too; `frame_keypoints` are the same in the frame."""
    frame_keypoints: Indices


def verify(image: Described, frame: Described, pairs: Correspondences | None = None) -> Verification | None:
    """None when no camera could have seen the picture where the frame resembles it. `pairs` are found if not given."""
    if pairs is None:
        pairs = correspond(image.compact, frame.compact)
    agreeing = largest_consensus(image.keypoints, frame.keypoints, pairs)
    plane = fit_plane(
        image.keypoints.points[pairs.image[agreeing]],
        frame.keypoints.points[pairs.frame[agreeing]],
        image.keypoints.width,
        image.keypoints.height,
    )
    return None if plane is None else second_look(image, frame, plane.homography)


def second_look(
    image: Described, frame: Described, homography: Matrix, *, agreeing_min: int = AGREEING_MIN
) -> Verification | None:
    """What the frame says at every place of the product; None where fewer than `agreeing_min` agree."""
    expected = project(homography, image.keypoints.points)
    scales = image.keypoints.scales * local_scale(homography, image.keypoints.points)
    visible = np.flatnonzero(_inside(expected, frame.keypoints) & (scales >= _smallest_scale(frame.keypoints)))
    if len(visible) == 0:
        return None
    there = _around(expected[visible], frame.keypoints.points)
    row, column = _near(expected[visible], scales[visible], frame.keypoints, there)
    if len(row) == 0:
        return None
    cosine = np.einsum("ij,ij->i", image.descriptors[visible[row]], frame.descriptors[there[column]])
    by_row = np.lexsort((-cosine, row))
    answered, first = np.unique(row[by_row], return_index=True)  # of each row the pair with the best cosine
    best = by_row[first]
    agrees = cosine[best] >= AGREEING_COSINE_MIN
    found, found_in, likeness = visible[answered[agrees]], there[column[best[agrees]]], cosine[best[agrees]]
    order = np.argsort(-likeness, kind="stable")
    kept = order[_distinct(image.keypoints.points[found[order]], frame.keypoints.points[found_in[order]])]
    telling = kept[image.distinctive[found[kept]]]
    if len(kept) < agreeing_min or len(telling) < TELLING_MIN:
        return None
    contradicting = visible[answered[~agrees]]
    contradicting = contradicting[image.distinctive[contradicting]]
    places = np.unique(np.round(image.keypoints.points[contradicting] / SAME_PLACE_PIXELS), axis=0)
    coverage, seen, contradiction = _shares(image, visible, found, contradicting)
    evidence = Evidence(
        agreeing=len(telling),
        contradicting=len(places),
        coverage=coverage,
        seen=seen,
        contradiction=contradiction,
        spread=_spread(image.keypoints.points, found[telling]),
        likeness=float(likeness[telling].mean()),
    )
    return Verification(homography, evidence, found[kept], found_in[kept])


def _inside(points: Points, frame: Keypoints) -> npt.NDArray[np.bool_]:
    x, y = points[:, 0], points[:, 1]
    return np.asarray((x >= 0) & (y >= 0) & (x < frame.width) & (y < frame.height), np.bool_)


def _smallest_scale(frame: Keypoints) -> float:
    """What the detector finds at all in this frame."""
    return float(frame.scales.min()) if len(frame.scales) else np.inf


def _around(points: Points, candidates: Points) -> Indices:
    """Indices of the candidates in the bounding box of the points, a little larger."""
    low, high = points.min(axis=0) - 2 * PLACE_PIXELS_MAX, points.max(axis=0) + 2 * PLACE_PIXELS_MAX
    return np.flatnonzero(((candidates >= low) & (candidates <= high)).all(axis=1))


def _near(expected: Points, scales: Floats, frame: Keypoints, there: Indices) -> tuple[Indices, Indices]:
    """Rows of `expected` and positions in `there` that lie close together and are of one size."""
    reach = np.maximum(PLACE_PIXELS_MAX, PLACE_SCALES_MAX * scales)
    row, column = pairs_near(expected, frame.points[there], reach)
    factor = frame.scales[there[column]] / scales[row]
    alike = (factor <= SCALE_FACTOR_MAX) & (factor >= 1 / SCALE_FACTOR_MAX)
    return row[alike], column[alike]


def _distinct(image: Points, frame: Points) -> Indices:
    """Positions of the first at each place, in both pictures: one blob with three descriptors is one place."""
    _, by_image = np.unique(np.round(image / SAME_PLACE_PIXELS), axis=0, return_index=True)
    _, by_frame = np.unique(np.round(frame / SAME_PLACE_PIXELS), axis=0, return_index=True)
    return np.intersect1d(by_image, by_frame)


def _shares(image: Described, visible: Indices, found: Indices, contradicting: Indices) -> tuple[float, float, float]:
    """Of the cells with texture: how many mostly agree; the same of those that can be seen; how many contradict."""
    points = image.keypoints.points
    low, high = points.min(axis=0), points.max(axis=0)
    cell = np.minimum((points - low) / np.maximum(high - low, 1) * CELLS, CELLS - 1).astype(np.intp)
    number = cell[:, 1] * CELLS + cell[:, 0]

    def count(chosen: Indices) -> npt.NDArray[np.intp]:
        return np.bincount(number[chosen[image.distinctive[chosen]]], minlength=CELLS * CELLS)

    textured, seeable = count(np.arange(len(points))) >= CELL_KEYPOINTS_MIN, count(visible) >= CELL_KEYPOINTS_MIN
    agree, contradict = count(found), count(contradicting)
    agrees, contradicts = (agree > 0) & (agree >= contradict), contradict > agree
    could_be_seen = max(1, int(seeable.sum()))
    return (
        float((textured & agrees).sum()) / max(1, int(textured.sum())),
        float((seeable & agrees).sum()) / could_be_seen,
        float((seeable & contradicts).sum()) / could_be_seen,
    )


def _spread(points: Points, agreeing: Indices) -> float:
    whole, part = cv2.convexHull(points), cv2.convexHull(points[agreeing])
    return float(cv2.contourArea(part) / max(cv2.contourArea(whole), 1.0))
