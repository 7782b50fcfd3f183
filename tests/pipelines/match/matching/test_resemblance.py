from __future__ import annotations

import numpy as np
import pytest

from reelwork.pipelines.match.matching.plane import Matrix
from reelwork.pipelines.match.matching.resemblance import NOTHING, Template, resemblance
from reelwork.vision.opencv import Picture, cv2
from tests.pipelines.match.matching.conftest import Scene


def template_of(picture: Picture) -> Template:
    return Template.of(picture, np.ones(picture.shape[:2], np.bool_))


def shifted(matrix: Matrix, x: float, y: float) -> Matrix:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]) @ matrix


def test_where_the_product_is_everything_agrees(cup: Scene) -> None:
    found = resemblance(template_of(cup.product), cup.frame, cup.truth)
    assert min(found.colour, found.edges, found.parts, found.alike) > 0.6


def test_elsewhere_nothing_does(cup: Scene) -> None:
    found = resemblance(template_of(cup.product), cup.frame, shifted(cup.truth, -350, 0))
    assert max(found.colour, found.edges, found.parts, found.alike) < 0.4


def test_light_and_contrast_do_not_count(cup: Scene) -> None:
    dim = np.clip(cup.frame.astype(np.float32) * 0.6 + 30, 0, 255).astype(np.uint8)
    one, other = (resemblance(template_of(cup.product), frame, cup.truth) for frame in (cup.frame, dim))
    assert other.parts == pytest.approx(one.parts, abs=0.05)
    assert other.alike == pytest.approx(one.alike, abs=0.15)


def test_a_pose_a_few_pixels_off_is_put_right(cup: Scene) -> None:
    at, near, far = (
        resemblance(template_of(cup.product), cup.frame, shifted(cup.truth, move, 0)) for move in (0, 3, 40)
    )
    assert near.parts > at.parts - 0.1
    assert far.parts < at.parts - 0.4


def test_another_colour_is_seen(cup: Scene) -> None:
    swapped = np.ascontiguousarray(cup.product[:, :, ::-1])
    assert resemblance(template_of(swapped), cup.frame, cup.truth).colour < 0.2


def test_what_is_hidden_costs_only_itself(cup: Scene) -> None:
    hidden = cup.frame.copy()
    hidden[:, 630:] = cup.without[:, 630:]
    found = resemblance(template_of(cup.product), hidden, cup.truth)
    assert 0.25 < found.alike < 0.8


def test_what_is_not_the_product_does_not_count(cup: Scene) -> None:
    """A stranger stands beside the product in its picture."""
    width = cup.product.shape[1]
    crowded = np.hstack([cup.product, np.ascontiguousarray(cup.without[100:420, 300 : 300 + width])])
    mask = np.zeros(crowded.shape[:2], np.bool_)
    mask[:, :width] = True
    alone = resemblance(Template.of(crowded, mask), cup.frame, cup.truth)
    assert alone.alike > 0.6
    assert resemblance(template_of(crowded), cup.frame, cup.truth).alike < alone.alike - 0.2


@pytest.mark.parametrize("outside", [(2_000.0, 0.0), (0.0, -900.0)])
def test_outside_the_frame_is_nothing(cup: Scene, outside: tuple[float, float]) -> None:
    assert resemblance(template_of(cup.product), cup.frame, shifted(cup.truth, *outside)) == NOTHING


@pytest.mark.parametrize("size", [(1, 1), (2, 400), (400, 2)])
def test_pictures_of_any_shape(cup: Scene, size: tuple[int, int]) -> None:
    plain = np.asarray(cv2.resize(cup.product, size), np.uint8)
    found = resemblance(template_of(plain), cup.frame, cup.truth)
    assert all(np.isfinite(value) for value in (found.colour, found.edges, found.parts, found.alike))


def test_a_template_without_product_is_nothing(cup: Scene) -> None:
    nobody = np.zeros(cup.product.shape[:2], np.bool_)
    assert resemblance(Template.of(cup.product, nobody), cup.frame, cup.truth) == NOTHING
