"""The detector on a real street: it finds what is there, where it is, and the same in every process."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from reelwork.vision import pull_model, pull_sample
from reelwork.vision.detection import Detection
from reelwork.vision.detector import ObjectDetector
from tests.weights import TEST_MODELS_DIR

CYCLIST_FRAME = 126
DETECT_ONCE = """
import sys, numpy, pathlib
from reelwork.vision.detector import ObjectDetector
print(ObjectDetector(pathlib.Path(sys.argv[1])).detect(numpy.load(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def weights() -> Path:
    return pull_model("efficientdet-lite0", models_dir=TEST_MODELS_DIR)


@pytest.fixture(scope="module")
def detector(weights: Path) -> ObjectDetector:
    return ObjectDetector(weights)


@pytest.fixture(scope="module")
def street() -> npt.NDArray[np.uint8]:
    with av.open(str(pull_sample("bikes", models_dir=TEST_MODELS_DIR))) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number == CYCLIST_FRAME:
                return frame.to_ndarray(format="bgr24")
    raise AssertionError("the clip is shorter than it was")


def test_a_cyclist_is_a_person_on_a_bicycle(detector: ObjectDetector, street: npt.NDArray[np.uint8]) -> None:
    found = {detection.label: detection for detection in reversed(detector.detect(street))}
    person, bicycle = found["person"], found["bicycle"]
    assert person.score > 0.6
    assert 0.5 < person.box[0] < person.box[2] < 0.8
    assert person.box[1] < bicycle.box[1] < bicycle.box[3]  # the rider's head is above the bicycle


@pytest.mark.parametrize(("rows", "columns"), [(272, 640), (900, 640), (272, 100), (3, 500)])
def test_boxes_stay_inside_pictures_of_any_shape(
    detector: ObjectDetector, street: npt.NDArray[np.uint8], rows: int, columns: int
) -> None:
    tiled = np.tile(street, (4, 1, 1))[:rows, :columns]
    for detection in detector.detect(tiled):
        left, top, right, bottom = detection.box
        assert 0 <= left <= right <= 1
        assert 0 <= top <= bottom <= 1


def test_a_box_does_not_depend_on_the_size_of_the_picture(
    detector: ObjectDetector, street: npt.NDArray[np.uint8]
) -> None:
    whole = detector.detect(street)
    doubled = detector.detect(street.repeat(2, axis=0).repeat(2, axis=1))
    assert [detection.label for detection in whole[:2]] == [detection.label for detection in doubled[:2]]
    assert np.allclose(whole[0].box, doubled[0].box, atol=0.02)


def test_nothing_is_found_in_nothing(detector: ObjectDetector) -> None:
    assert detector.detect(np.full((90, 160, 3), 127, np.uint8)) == []


def test_threads_do_not_mix_their_pictures(detector: ObjectDetector, street: npt.NDArray[np.uint8]) -> None:
    pictures = [street, np.ascontiguousarray(street[:, ::-1])] * 6
    expected = [detector.detect(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(detector.detect, pictures)) == expected


def test_another_process_gives_the_same_bits(
    detector: ObjectDetector, street: npt.NDArray[np.uint8], weights: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "street.npy", street)
    command = [sys.executable, "-c", DETECT_ONCE, str(weights), str(tmp_path / "street.npy")]
    child = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert child.stdout.strip() == str(detector.detect(street))
    assert child.stderr == ""


def test_low_scores_are_left_out(weights: Path, street: npt.NDArray[np.uint8]) -> None:
    sure = ObjectDetector(weights, score_minimum=0.7).detect(street)
    assert sure == [detection for detection in ObjectDetector(weights).detect(street) if detection.score >= 0.7]
    assert all(isinstance(detection, Detection) for detection in sure)
