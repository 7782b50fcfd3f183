from __future__ import annotations

import numpy as np
import pytest

from reelwork.pipelines.match.features import Image, Mask
from reelwork.pipelines.match.product_mask import product_mask, share_inside
from reelwork.vision.masks import ForegroundMask, ForegroundMasks
from tests.pipelines.match.pictures import detector, product_picture

GROUND = (540, 960)


class Masks(ForegroundMasks):
    """Finds what it is told."""

    def __init__(self, mask: Mask, *, people_removed: bool = False) -> None:
        self.found = ForegroundMask(mask, "told@1", people_removed=people_removed, whole=False)

    def segment(self, image: Image) -> ForegroundMask:
        assert image.shape[:2] == self.found.mask.shape
        return self.found


def rectangle(shape: tuple[int, int], top: int, bottom: int, left: int, right: int) -> Mask:
    mask = np.zeros(shape, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def on_plain_ground() -> Image:
    picture = np.full((*GROUND, 3), 235, np.uint8)
    picture[60:460, 300:600] = product_picture(1)
    picture[500:530, 20:200] = product_picture(2, width=180, height=30)  # a caption
    return picture


def test_before_a_plain_ground_the_mask_is_believed() -> None:
    masks = Masks(rectangle(GROUND, 55, 465, 295, 605))
    assert product_mask(on_plain_ground(), masks, detector) is masks.found


def test_a_mask_of_a_thing_in_the_print_is_not() -> None:
    picture = product_picture(1)
    found = product_mask(picture, Masks(rectangle(picture.shape[:2], 100, 220, 80, 200)), detector)
    assert found.whole
    assert found.mask.all()
    assert found.method == "told@1"


def test_people_in_a_print_are_part_of_the_product() -> None:
    picture = product_picture(1)
    masks = Masks(rectangle(picture.shape[:2], 100, 220, 80, 200), people_removed=True)
    found = product_mask(picture, masks, detector)
    assert (found.whole, found.people_removed, found.mask.all()) == (True, False, True)


def test_people_beside_a_product_are_left_out() -> None:
    masks = Masks(rectangle(GROUND, 55, 465, 295, 605), people_removed=True)
    assert product_mask(on_plain_ground(), masks, detector) is masks.found


def test_so_is_the_mask_of_a_picture_without_keypoints() -> None:
    masks = Masks(rectangle((90, 90), 10, 20, 10, 20))
    assert product_mask(np.full((90, 90, 3), 200, np.uint8), masks, detector) is masks.found


@pytest.mark.parametrize(("left", "least", "most"), [(0, 1.0, 1.0), (150, 0.4, 0.6), (300, 0.0, 0.01)])
def test_the_share_of_keypoints_inside(left: int, least: float, most: float) -> None:
    picture = product_picture(1)
    mask = rectangle(picture.shape[:2], 0, 400, left, 300)
    assert least <= share_inside(detector.detect(picture), mask) <= most
