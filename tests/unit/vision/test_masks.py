"""Masks hold the subject and leave its surroundings; each says how it was made, and whether people were taken out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from reelwork.vision import pull_model, pull_sample
from reelwork.vision.masks import ForegroundMasks
from reelwork.vision.opencv import cv2, scaled_by_area
from reelwork.vision.safe_image import decode_image
from tests.weights import TEST_MODELS_DIR

Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def network() -> ForegroundMasks:
    for name in ("u2netp", "efficientdet-lite0"):
        pull_model(name, models_dir=TEST_MODELS_DIR)
    return ForegroundMasks(models_dir=TEST_MODELS_DIR)


@pytest.fixture(scope="module")
def without_models(tmp_path_factory: pytest.TempPathFactory) -> ForegroundMasks:
    return ForegroundMasks(models_dir=tmp_path_factory.mktemp("no-models"))


@pytest.fixture(scope="module", params=["network", "without_models"])
def masks(request: pytest.FixtureRequest) -> ForegroundMasks:
    made: ForegroundMasks = request.getfixturevalue(request.param)
    return made


@pytest.fixture(scope="module")
def cup() -> Picture:
    return decode_image(pull_sample("coffee", models_dir=TEST_MODELS_DIR).read_bytes())


@pytest.fixture(scope="module")
def astronaut() -> Picture:
    return decode_image(pull_sample("astronaut", models_dir=TEST_MODELS_DIR).read_bytes())


def test_the_method_names_the_models_and_their_versions(
    network: ForegroundMasks, without_models: ForegroundMasks
) -> None:
    assert network.method == "u2netp-people@1.309c8469.2e04c53b"
    assert without_models.method == "grabcut@1"


def test_a_product_on_a_plain_ground_is_cut_out(masks: ForegroundMasks, cup: Picture) -> None:
    picture = np.full((400, 400, 3), 250, np.uint8)
    picture[120:280, 80:320] = scaled_by_area(cup, 240, 160)
    truth = np.zeros((400, 400), np.bool_)
    truth[120:280, 80:320] = True
    found = masks.segment(picture)
    assert (found.mask & truth).sum() / (found.mask | truth).sum() > 0.85
    assert found.mask[truth].mean() > 0.98  # the margin: rather too much than too little
    assert (found.whole, found.people_removed, found.method) == (False, False, masks.method)


def test_a_cup_on_a_table_is_more_than_the_table(masks: ForegroundMasks, cup: Picture) -> None:
    mask = masks.mask(cup)
    assert mask[100:350, 180:450].mean() > 0.85
    assert mask[:60, :60].mean() < 0.1
    assert mask[300:, 520:].mean() < 0.2


def test_where_nothing_stands_out_the_mask_is_the_whole_picture(masks: ForegroundMasks) -> None:
    found = masks.segment(np.full((120, 200, 3), 127, np.uint8))
    assert found.whole
    assert found.mask.all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (30, 900), (1200, 30)])
def test_a_mask_has_the_shape_of_its_picture(masks: ForegroundMasks, cup: Picture, shape: tuple[int, int]) -> None:
    mask = masks.mask(np.asarray(cv2.resize(cup, shape[::-1]), np.uint8))
    assert mask.shape == shape
    assert mask.dtype == np.bool_
    assert mask.any()


def test_the_same_picture_gives_the_same_mask(masks: ForegroundMasks, cup: Picture) -> None:
    first = masks.mask(cup)
    cv2.setRNGSeed(77)
    assert np.array_equal(masks.mask(cup), first)


@pytest.fixture(scope="module")
def beside_a_product(astronaut: Picture, cup: Picture) -> Picture:
    """A person, and to the right of her a cup."""
    picture = np.full((512, 1000, 3), 235, np.uint8)
    picture[:, :512] = astronaut
    picture[86:426, 500:990] = scaled_by_area(cup, 490, 340)
    return picture


class TestPeople:
    def test_beside_a_product_are_taken_out(self, network: ForegroundMasks, beside_a_product: Picture) -> None:
        found = network.segment(beside_a_product)
        assert found.people_removed
        assert found.mask[60:300, 150:300].mean() < 0.05  # the face
        assert found.mask[180:380, 660:860].mean() > 0.8  # the cup

    def test_stay_when_they_wear_the_product(self, network: ForegroundMasks, astronaut: Picture) -> None:
        found = network.segment(astronaut)
        assert not found.people_removed
        assert found.mask[300:450, 150:350].mean() > 0.9  # the suit

    def test_stay_where_there_is_no_detector(self, beside_a_product: Picture, tmp_path: Path) -> None:
        weights = pull_model("u2netp", models_dir=TEST_MODELS_DIR)
        (tmp_path / weights.name).write_bytes(weights.read_bytes())
        masks = ForegroundMasks(models_dir=tmp_path)
        assert masks.method == "u2netp@1.309c8469"
        found = masks.segment(beside_a_product)
        assert not found.people_removed
        assert found.mask[60:300, 150:300].mean() > 0.3
