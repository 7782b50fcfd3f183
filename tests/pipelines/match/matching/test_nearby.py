from __future__ import annotations

import numpy as np
import pytest

from reelwork.pipelines.match.matching.nearby import pairs_near


@pytest.mark.parametrize("grid", [False, True], ids=["anywhere", "exactly at the reach"])
def test_finds_what_a_table_of_all_distances_says(grid: bool) -> None:
    random = np.random.default_rng(1)
    for size in (1, 7, 300):
        expected, points = (random.uniform(0, 900, (size, 2)).astype(np.float32) for _ in range(2))
        reach = random.uniform(0, 60, size).astype(np.float32)
        if grid:
            expected, points, reach = np.rint(expected / 10), np.rint(points / 10), np.rint(reach / 10)
        squared = np.square(expected[:, None] - points[None]).sum(axis=2)
        row, there = np.nonzero(squared <= np.square(reach)[:, None])
        found = pairs_near(expected, points, reach)
        assert np.array_equal(found[0], row)
        assert np.array_equal(found[1], there)


def test_nothing_is_near_nothing() -> None:
    nothing, some = np.empty((0, 2), np.float32), np.zeros((3, 2), np.float32)
    for expected, points in ((nothing, some), (some, nothing), (nothing, nothing)):
        row, there = pairs_near(expected, points, np.ones(len(expected), np.float32))
        assert len(row) == len(there) == 0
