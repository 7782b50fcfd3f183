from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from reelwork.pipelines.match.matching.candidates import VOTERS
from reelwork.pipelines.match.matching.described import Compaction, Described
from reelwork.pipelines.match.matching.likeness import Likeness
from reelwork.pipelines.match.matching.shared import distinctive_marks
from reelwork.vision.opencv import Picture
from tests.pipelines.match.pictures import BAND, detector, product_picture

BRANDS, SIBLINGS = 5, 3


@cache
def boxes() -> list[Described]:
    """Three boxes of each brand, one after the other."""
    return described([product_picture(seed, brand=seed // SIBLINGS) for seed in range(BRANDS * SIBLINGS)])


def described(pictures: Sequence[Picture]) -> list[Described]:
    found = [detector.detect(picture) for picture in pictures]
    compaction = Compaction(found)
    return [Described.of(keypoints, compaction) for keypoints in found]


def siblings_of(number: int) -> set[int]:
    first = number // SIBLINGS * SIBLINGS
    return set(range(first, first + SIBLINGS)) - {number}


class TestLikeness:
    def test_siblings_are_the_most_alike(self) -> None:
        likeness = Likeness(boxes(), VOTERS)
        for number, box in enumerate(boxes()):
            others = np.array([other for other in range(len(boxes())) if other != number])
            nearest = likeness.nearest(box, others, 4)
            assert len(nearest) == 4
            assert siblings_of(number) <= set(nearest.tolist())

    def test_few_are_all_compared(self) -> None:
        among = np.array([3, 7])
        assert Likeness(boxes(), VOTERS).nearest(boxes()[0], among, 2).tolist() == [3, 7]

    def test_pictures_without_keypoints(self) -> None:
        plain = Described.of(detector.detect(np.full((90, 90, 3), 200, np.uint8)), Compaction([]))
        likeness = Likeness([plain, *boxes()[:3], plain], VOTERS)
        assert likeness.nearest(boxes()[0], np.array([0, 2, 3, 4]), 2).tolist() == [2, 3]
        assert len(likeness.nearest(plain, np.array([0, 1, 2]), 2)) == 2


class TestMarks:
    @pytest.mark.parametrize("compared_max", [SIBLINGS - 1, 6])
    def test_few_comparisons_find_what_all_find(self, compared_max: int) -> None:
        products = list(range(len(boxes())))
        thorough = distinctive_marks(boxes(), products, compared_max=len(boxes()))
        assert sum(not marks.all() for marks in thorough) > len(boxes()) / 2
        for box, marks in zip(boxes(), thorough, strict=True):
            assert marks[box.keypoints.points[:, 1] > BAND + 8].mean() > 0.9, "only what they share"
        quick = distinctive_marks(boxes(), products, compared_max=compared_max)
        shared, found = ~np.concatenate(thorough), ~np.concatenate(quick)
        assert not (found & ~shared).any()
        assert found.sum() > 0.9 * shared.sum()

    def test_pictures_of_one_product_share_what_they_like(self) -> None:
        marks = distinctive_marks(boxes()[:3], [7, 7, 7])
        assert all(one.all() for one in marks)

    def test_a_shared_part_is_one_also_beside_shared_trifles_far_from_it(self) -> None:
        """Between band and trifles lies nearly all of the picture, and it is not shared."""
        trifle = product_picture(900, width=44, height=44)
        pictures = [product_picture(seed, brand=3) for seed in (31, 32)]
        for picture in pictures:
            picture[-46:-2, 2:46] = picture[-46:-2, -46:-2] = trifle
        for box, marks in zip(described(pictures), distinctive_marks(described(pictures), [0, 1]), strict=True):
            below = box.keypoints.points[:, 1]
            assert marks[below < BAND - 12].mean() < 0.25
            assert marks[(below > BAND + 12) & (below < 340)].mean() > 0.9

    def test_variants_keep_what_they_share(self) -> None:
        """Of one thing in two flavours nothing would be left."""
        pictures = [product_picture(41), product_picture(41)]
        pictures[1][:100] = product_picture(42)[:100]
        assert all(marks.all() for marks in distinctive_marks(described(pictures), [0, 1]))

    def test_no_pictures(self) -> None:
        assert distinctive_marks([], []) == []

    def test_pictures_without_keypoints_among_others(self) -> None:
        plain = Described.of(detector.detect(np.full((90, 90, 3), 200, np.uint8)), Compaction([]))
        marks = distinctive_marks([plain, *boxes()[:3], plain], [0, 1, 2, 3, 4], compared_max=2)
        assert [len(one) for one in marks] == [0, *map(len, boxes()[:3]), 0]
        assert not marks[1].all()
