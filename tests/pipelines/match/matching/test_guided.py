from __future__ import annotations

import numpy as np
import pytest

from reelwork.pipelines.match.matching.consensus import consensuses, largest_consensus
from reelwork.pipelines.match.matching.correspondences import Correspondences
from reelwork.pipelines.match.matching.described import Compaction, Described
from reelwork.pipelines.match.matching.guided import guided_planes, look_near, similarity
from reelwork.pipelines.match.matching.plane import corners, local_turn, project
from reelwork.vision.keypoints import Keypoints
from tests.pipelines.match.matching.conftest import Scene
from tests.pipelines.match.pictures import detector


@pytest.fixture(scope="module")
def described(cup: Scene) -> tuple[Described, Described]:
    """The product, and the frame that shows it."""
    image, frame = detector.detect(cup.product), detector.detect(cup.frame)
    compaction = Compaction([image])
    return Described.of(image, compaction), Described.of(frame, compaction)


def true_pairs(image: Described, frame: Described, truth: np.ndarray) -> Correspondences:
    """All keypoints that are found again, by the truth alone."""
    reach = np.full(len(image.descriptors), 3, np.float32)
    of_image, of_frame = look_near(image, frame, truth, reach)
    return Correspondences(of_image, of_frame, np.zeros(len(of_image), np.float32))


def test_three_correspondences_grow_into_the_pose(cup: Scene, described: tuple[Described, Described]) -> None:
    image, frame = described
    pairs = true_pairs(image, frame, cup.truth)
    assert len(pairs) >= 12
    middle = np.linalg.norm(image.keypoints.points[pairs.image] - image.keypoints.points.mean(axis=0), axis=1)
    few = np.sort(np.argsort(-image.keypoints.scales[pairs.image] / (1 + middle))[:3])
    (found, *_) = guided_planes(image, frame, Correspondences(pairs.image[few], pairs.frame[few], pairs.distance[few]))
    outline = corners(image.keypoints.width, image.keypoints.height)
    assert np.abs(project(found, outline) - project(cup.truth, outline)).mean() < 8


def test_looks_only_near(cup: Scene, described: tuple[Described, Described]) -> None:
    image, frame = described
    reach = np.full(len(image.descriptors), 5, np.float32)
    of_image, of_frame = look_near(image, frame, cup.truth, reach)
    missed_by = project(cup.truth, image.keypoints.points[of_image]) - frame.keypoints.points[of_frame]
    assert np.linalg.norm(missed_by, axis=1).max() <= 5
    assert len(set(of_image)) == len(set(of_frame)) == len(of_image)
    elsewhere = np.array([[1, 0, -350], [0, 1, 0], [0, 0, 1]]) @ cup.truth
    assert len(look_near(image, frame, elsewhere, reach)[0]) < len(of_image) / 2


def test_no_pair_gives_no_pose(described: tuple[Described, Described]) -> None:
    image, frame = described
    nothing = Correspondences(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float32))
    assert guided_planes(image, frame, nothing) == []


def test_similarity_is_exact() -> None:
    points = np.float32([[0, 0], [100, 0], [30, 80], [60, 20]])
    turned = np.array([[0.3, -0.4, 50], [0.4, 0.3, -7], [0, 0, 1]])
    assert similarity(points, project(turned, points)) == pytest.approx(turned, abs=1e-4)
    assert local_turn(turned) == pytest.approx(np.rad2deg(np.arctan2(0.4, 0.3)))


def test_two_places_are_two_sets() -> None:
    """One product seen twice: ten keypoints here, six there."""
    random = np.random.default_rng(1)
    points = random.uniform(0, 300, (16, 2)).astype(np.float32)
    there = np.concatenate([points[:10] / 2 + np.float32([50, 60]), points[10:] / 3 + np.float32([600, 200])])
    image, frame = _keypoints(points, 12.0), _keypoints(there, 5.0)
    pairs = Correspondences(np.arange(16), np.arange(16), random.random(16).astype(np.float32))
    first, second = consensuses(image, frame, pairs, members_min=3, count=5)
    assert (list(first), list(second)) == (list(range(10)), list(range(10, 16)))
    assert list(largest_consensus(image, frame, pairs)) == list(first)
    assert len(consensuses(image, frame, pairs, members_min=7, count=5)) == 1
    assert len(consensuses(image, frame, pairs, members_min=3, count=1)) == 1


def _keypoints(points: np.ndarray, scale: float) -> Keypoints:
    count = len(points)
    return Keypoints(
        points.astype(np.float32),
        np.full(count, scale, np.float32),
        np.zeros(count, np.float32),
        np.zeros((count, 128), np.uint8),
        "rootsift",
        960,
        540,
    )
