"""A smooth thing far away, of real pictures: a cup of coffee, small and blurred before a cat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from reelwork.pipelines.match.matching.plane import Matrix
from reelwork.vision import pull_sample
from reelwork.vision.opencv import Picture, cv2, scaled_by_area
from reelwork.vision.safe_image import decode_image
from tests.pipelines.match.pictures import FRAME_SIZE, placed
from tests.weights import TEST_MODELS_DIR


def real_picture(name: str) -> Picture:
    return decode_image(pull_sample(name, models_dir=TEST_MODELS_DIR).read_bytes())


@dataclass(frozen=True, eq=False)
class Scene:
    """truth: 3 x 3, from the product's picture to the frame."""

    product: Picture
    frame: Picture
    without: Picture
    truth: Matrix


@pytest.fixture(scope="session")
def cup() -> Scene:
    product = np.ascontiguousarray(real_picture("coffee")[40:360, 100:460])
    behind = scaled_by_area(real_picture("cat"), *FRAME_SIZE)
    frame, truth = placed(behind, product, middle=(620, 280), scale=0.4, turn=25, tilt=0.15)
    blurred = np.asarray(cv2.GaussianBlur(frame, (0, 0), 1.5), np.uint8)
    return Scene(product, blurred, np.asarray(cv2.GaussianBlur(behind, (0, 0), 1.5), np.uint8), truth)
