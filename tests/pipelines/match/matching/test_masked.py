from __future__ import annotations

import numpy as np
import pytest

from reelwork.pipelines.match.matching import masked
from tests.pipelines.match.pictures import background, detector, product_picture


def test_before_a_plain_ground_only_the_product_is_left() -> None:
    picture = np.full((540, 960, 3), 235, np.uint8)
    picture[60:460, 300:600] = product_picture(1)
    picture[500:530, 20:200] = product_picture(2, width=180, height=30)  # a caption
    mask = np.zeros((540, 960), bool)
    mask[55:465, 295:605] = True
    whole = detector.detect(picture)
    kept = masked(whole, mask)
    columns, rows = np.rint(kept.points).astype(int).T
    assert mask[rows, columns].all()
    assert 0.75 * len(whole) <= len(kept) < len(whole)
    assert len(kept.descriptors) == len(kept.scales) == len(kept.angles) == len(kept)


def test_a_mask_of_a_thing_in_the_print_is_not_believed() -> None:
    picture = product_picture(1)
    mask = np.zeros(picture.shape[:2], bool)
    mask[100:220, 80:200] = True
    whole = detector.detect(picture)
    assert masked(whole, mask) is whole


def test_a_picture_without_keypoints() -> None:
    nothing = detector.detect(np.full((90, 90, 3), 200, np.uint8))
    assert len(masked(nothing, np.ones((90, 90), bool))) == 0


def test_a_mask_of_another_picture() -> None:
    with pytest.raises(ValueError, match="540, 960"):
        masked(detector.detect(background(1)), np.ones((10, 10), bool))
