"""The largest set of correspondences that agree on where the product lies, how large it is and how it is turned.

One correspondence of keypoints with scale and angle says all of that already, so each is tried as the seed and nothing
is left to chance: Lowe's pose clustering (IJCV 2004) without bins. Tolerances are wide enough for a product seen
askance; the homography is strict afterwards.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from reelwork.pipelines.match.matching.correspondences import Correspondences, Indices
from reelwork.vision.keypoints import Keypoints

SEEDS_MAX = 400
"""Correspondences considered, nearest first: the work grows with the square."""
PLACE_PIXELS_MAX = 8.0
PLACE_FRACTION_MAX = 0.3
"""How far a place may be from where the seed expects it: so many pixels, and this fraction of its way from the seed."""
SCALE_FACTOR_MAX = 2.2
TURN_DEGREES_MAX = 40.0


def largest_consensus(image: Keypoints, frame: Keypoints, pairs: Correspondences) -> Indices:
    """Positions in `pairs` of the largest set around one seed, in order; empty without pairs."""
    if len(pairs) == 0:
        return np.empty(0, np.intp)
    considered = np.sort(np.argsort(pairs.distance, kind="stable")[:SEEDS_MAX])
    supports = _supports(image, frame, pairs.image[considered], pairs.frame[considered])
    seed = int(supports.sum(axis=1).argmax())
    members: Indices = considered[supports[seed]]
    return members


def consensuses(
    image: Keypoints, frame: Keypoints, pairs: Correspondences, *, members_min: int, count: int
) -> list[Indices]:
    """At most `count` sets like that of `largest_consensus`, the largest first, none around a member of another."""
    if len(pairs) == 0:
        return []
    considered = np.sort(np.argsort(pairs.distance, kind="stable")[:SEEDS_MAX])
    supports = _supports(image, frame, pairs.image[considered], pairs.frame[considered])
    sizes = supports.sum(axis=1)
    sets: list[Indices] = []
    while len(sets) < count and int(sizes.max()) >= members_min:
        members = supports[int(sizes.argmax())]
        sets.append(considered[members])
        sizes[members] = 0
    return sets


def _supports(image: Keypoints, frame: Keypoints, of_image: Indices, of_frame: Indices) -> npt.NDArray[np.bool_]:
    """(m, m): whether the pair of a column fits the pose that the pair of a row says."""
    source, target = _complex(image.points[of_image]), _complex(frame.points[of_frame])
    factor = frame.scales[of_frame] / np.maximum(image.scales[of_image], 1e-6)
    turn = np.deg2rad(frame.angles[of_frame] - image.angles[of_image])
    way = source[None, :] - source[:, None]
    expected = target[:, None] + (factor * np.exp(1j * turn)).astype(np.complex64)[:, None] * way
    missed_by = np.abs(target[None, :] - expected)
    in_place = missed_by <= PLACE_PIXELS_MAX + PLACE_FRACTION_MAX * factor[:, None] * np.abs(way)
    logarithm = np.log(np.maximum(factor, 1e-6))
    same_size = np.abs(logarithm[None, :] - logarithm[:, None]) <= math.log(SCALE_FACTOR_MAX)
    same_turn = np.cos(turn[None, :] - turn[:, None]) >= math.cos(math.radians(TURN_DEGREES_MAX))
    return np.asarray(in_place & same_size & same_turn, np.bool_)


def _complex(points: npt.NDArray[np.float32]) -> npt.NDArray[np.complex64]:
    return np.asarray(points[:, 0] + 1j * points[:, 1], np.complex64)
