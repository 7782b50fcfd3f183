from __future__ import annotations

import numpy as np
import pytest

from reelwork.pipelines.match.matching.plane import fit_plane, local_scale, project
from reelwork.vision.opencv import cv2

WIDTH, HEIGHT = 300, 200
GRID = np.stack(np.meshgrid(np.linspace(10, 290, 6), np.linspace(10, 190, 5)), -1).reshape(-1, 2).astype(np.float32)


def _seen_at(*corners: tuple[float, float]) -> np.ndarray:
    source = np.float32([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]])
    return np.asarray(cv2.getPerspectiveTransform(source, np.float32(corners)))


TILTED = _seen_at((100, 100), (260, 130), (260, 220), (100, 260))


def test_the_true_homography_among_outliers() -> None:
    source = np.concatenate([GRID, GRID[:10]])
    target = np.concatenate([project(TILTED, GRID), project(TILTED, GRID[:10])[::-1] + np.float32([40, -25])])
    plane = fit_plane(source, target, WIDTH, HEIGHT)
    assert plane is not None
    assert plane.inliers[:30].all()
    assert np.abs(project(plane.homography, GRID) - project(TILTED, GRID)).max() < 0.5


def test_few_points_give_an_affine_map() -> None:
    affine = np.array([[0.5, 0.1, 30], [-0.1, 0.6, 40], [0, 0, 1]])
    plane = fit_plane(GRID[:6], project(affine, GRID[:6]) + np.float32(0.2), WIDTH, HEIGHT)
    if plane is not None:  # six points of one row leave a direction open
        assert plane.homography[2].tolist() == [0, 0, 1]
    spread = GRID[[0, 5, 12, 17, 24, 29]]
    plane = fit_plane(spread, project(affine, spread), WIDTH, HEIGHT)
    assert plane is not None
    assert np.allclose(plane.homography, affine, atol=1e-3)


@pytest.mark.parametrize(
    "impossible",
    [
        _seen_at((260, 100), (100, 100), (100, 260), (260, 260)),  # mirrored
        _seen_at((100, 100), (400, 178), (400, 182), (100, 260)),  # bent beyond what a camera sees
        _seen_at((100, 100), (400, 100), (400, 104), (100, 104)),  # squeezed to a line
        _seen_at((100, 100), (103, 100), (103, 102), (100, 102)),  # a dot
    ],
)
def test_what_no_camera_has_seen(impossible: np.ndarray) -> None:
    assert fit_plane(GRID, project(impossible, GRID), WIDTH, HEIGHT) is None


def test_too_few_points() -> None:
    assert fit_plane(GRID[:3], GRID[:3], WIDTH, HEIGHT) is None


def test_local_scale_is_the_growth_of_a_small_square() -> None:
    points = np.float32([[20, 30], [280, 160]])
    for point, scale in zip(points, local_scale(TILTED, points), strict=True):
        square = project(TILTED, point + np.float32([[0, 0], [1, 0], [1, 1], [0, 1]]))
        assert cv2.contourArea(square) == pytest.approx(float(scale) ** 2, rel=0.05)
