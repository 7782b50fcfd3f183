"""Which places lie close together, of many; no table of all distances is made."""

from __future__ import annotations

import numpy as np

from reelwork.pipelines.match.matching.correspondences import Floats, Indices
from reelwork.pipelines.match.matching.plane import Points

ROUNDING_PIXELS = 0.01
"""Looked at beyond the reach, because sums of float32 are rounded; the distance itself decides."""


def pairs_near(expected: Points, points: Points, reach: Floats) -> tuple[Indices, Indices]:
    """Every pair of one that is expected and one that is there, no farther apart than the reach of the first.

    expected: (n, 2); points: (m, 2); reach: (n,), pixels. In the order of the expected ones, then of the others.
    """
    by_x = np.argsort(points[:, 0], kind="stable")
    sorted_x, wide = points[by_x, 0], reach + np.float32(ROUNDING_PIXELS)
    first = np.searchsorted(sorted_x, expected[:, 0] - wide)
    counts = np.searchsorted(sorted_x, expected[:, 0] + wide, side="right") - first
    row = np.repeat(np.arange(len(expected)), counts)
    begins = np.cumsum(counts) - counts
    there = by_x[np.arange(len(row)) - np.repeat(begins - first, counts)]
    near = np.square(points[there] - expected[row]).sum(axis=1) <= np.square(reach[row])
    row, there = row[near], there[near]
    order = np.lexsort((there, row))
    return row[order], there[order]
