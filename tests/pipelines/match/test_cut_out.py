"""What stands beside a product does not count."""

from __future__ import annotations

import numpy as np

from reelwork.pipelines.match.cut_out import BACKGROUND, cut_out


def test_the_part_with_the_product_on_a_plain_background() -> None:
    image = np.full((100, 200, 3), 250, np.uint8)
    image[20:60, 50:90] = (10, 20, 30)
    mask = np.zeros((100, 200), bool)
    mask[20:60, 50:90] = True
    part = cut_out(image, mask)
    assert part.shape == (44, 44, 3), "a margin of two pixels on each side"
    assert (part[2:-2, 2:-2] == (10, 20, 30)).all()
    assert (part[0] == BACKGROUND).all()


def test_a_product_at_the_edge_has_no_margin_there() -> None:
    mask = np.zeros((100, 100), bool)
    mask[:41, 60:] = True
    assert cut_out(np.zeros((100, 100, 3), np.uint8), mask).shape == (43, 42, 3)


def test_the_whole_picture_where_nothing_is_masked() -> None:
    image = np.zeros((9, 9, 3), np.uint8)
    assert cut_out(image, None) is image
    assert cut_out(image, np.zeros((9, 9), bool)) is image
