"""Which keypoint of a product looks like which of a frame, before anybody asks whether the places fit together.

Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004: the ratio test. The search is exact, one
matrix product for each block of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]

RATIO_MAX = 0.87
"""Of the distances to the best and to the second best; lenient, because the places are asked next."""

BLOCK_ROWS = 256
"""Compared with a frame at a time: the product of so many rows stays in a processor's cache."""


@dataclass(frozen=True, eq=False)
class Correspondences:
    """Pairs of keypoints by their index; every keypoint is in one pair at most."""

    image: Indices
    frame: Indices
    distance: Floats
    """Euclidean, between compact descriptors."""

    def __len__(self) -> int:
        return len(self.image)


def correspond(image: Floats, frame: Floats) -> Correspondences:
    """Each of the image's descriptors with its nearest in the frame, where the second nearest is clearly farther.

    Both are (n, d). Of several that claim one keypoint of the frame, the nearest has it.
    """
    return distinct(*nearest_two(image, frame))


def distinct(best: Indices, distance: Floats, ratio: Floats) -> Correspondences:
    """Those of the rows of `nearest_two` that pass the ratio test, one for each keypoint of the frame."""
    chosen = np.flatnonzero(ratio <= RATIO_MAX)
    chosen = chosen[np.argsort(distance[chosen], kind="stable")]
    _, first = np.unique(best[chosen], return_index=True)
    chosen = np.sort(chosen[first])
    return Correspondences(chosen, best[chosen], distance[chosen])


def nearest_two(image: Floats, frame: Floats) -> tuple[Indices, Floats, Floats]:
    """For each row of `image`: the nearest row of `frame`, its distance, and that divided by the second nearest's.

    Without two rows in `frame`, every ratio is 1.
    """
    best = np.zeros(len(image), np.intp)
    nearest, second = np.ones(len(image), np.float32), np.ones(len(image), np.float32)
    if len(frame) < 2:
        return best, nearest, second
    # |a - b|^2 = |a|^2 - 2 (a.b - |b|^2 / 2), and what is in brackets is one matrix product.
    extended = np.concatenate([frame, -np.square(frame).sum(axis=1, keepdims=True) / 2], axis=1).T
    for begin in range(0, len(image), BLOCK_ROWS):
        part = image[begin : begin + BLOCK_ROWS]
        block = slice(begin, begin + len(part))
        closeness = np.concatenate([part, np.ones((len(part), 1), np.float32)], axis=1) @ extended
        rows, length = np.arange(len(part)), np.square(part).sum(axis=1)
        best[block] = closeness.argmax(axis=1)
        nearest[block] = length - 2 * closeness[rows, best[block]]
        closeness[rows, best[block]] = -np.inf
        second[block] = length - 2 * closeness.max(axis=1)
    distance = np.sqrt(np.maximum(nearest, 0))
    ratio = distance / np.sqrt(np.maximum(second, 1e-12))
    return best, np.asarray(distance, np.float32), np.asarray(ratio, np.float32)
