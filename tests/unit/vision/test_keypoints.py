"""Keypoints lie where they lie in the picture, are found again when it moves, and survive being stored."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from reelwork.errors import ContractViolation
from reelwork.vision import pull_sample
from reelwork.vision.keypoints import CONTRAST_CLEAR, DESCRIPTOR_SCALE, KeypointDetector, Keypoints
from reelwork.vision.opencv import cv2
from reelwork.vision.safe_image import decode_image
from tests.weights import TEST_MODELS_DIR

Picture = npt.NDArray[np.uint8]

DETECT_ONCE = """
import sys, hashlib, numpy
from reelwork.vision.keypoints import KeypointDetector
print(hashlib.sha256(KeypointDetector().detect(numpy.load(sys.argv[1])).to_bytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def cat() -> Picture:
    return decode_image(pull_sample("cat", models_dir=TEST_MODELS_DIR).read_bytes())


@pytest.fixture(scope="module")
def detector() -> KeypointDetector:
    return KeypointDetector()


def blobs(*centres: tuple[int, int], width: int = 400, height: int = 300, radius: int = 9) -> Picture:
    picture = np.full((height, width, 3), 90, np.uint8)
    for centre in centres:
        cv2.circle(picture, centre, radius, (250, 250, 250), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def found_again(first: Keypoints, second: Keypoints, transform: npt.NDArray[np.float64]) -> float:
    """Share of the mutual nearest neighbours that lie where the transform says, within 3 pixels."""
    one, other = (keypoints.descriptors.astype(np.float32) for keypoints in (first, second))
    likeness = one @ other.T
    nearest, back = likeness.argmax(axis=1), likeness.argmax(axis=0)
    mutual = np.flatnonzero(back[nearest] == np.arange(len(one)))
    expected = cv2.perspectiveTransform(first.points[mutual][None], transform)[0]
    return float((np.linalg.norm(expected - second.points[nearest[mutual]], axis=1) < 3).mean())


class TestDetecting:
    @pytest.mark.parametrize("factor", [1, 4])  # the second is larger than what is looked at
    def test_a_blob_is_where_it_is(self, detector: KeypointDetector, factor: int) -> None:
        picture = cv2.resize(blobs((120, 80)), None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        keypoints = detector.detect(picture)
        middle = (np.array([120, 80]) + 0.5) * factor - 0.5
        strongest = np.linalg.norm(keypoints.points - middle, axis=1).argmin()
        assert np.abs(keypoints.points[strongest] - middle).max() < 0.6 * factor
        assert 4 * factor < keypoints.scales[strongest] < 12 * factor
        assert (keypoints.width, keypoints.height) == (400 * factor, 300 * factor)

    @pytest.mark.parametrize(
        ("scale", "degrees"), [(1.0, 30.0), (0.6, 0.0), (1.5, -100.0)], ids=["turned", "smaller", "both"]
    )
    def test_a_moved_picture_has_the_same_keypoints(
        self, detector: KeypointDetector, cat: Picture, scale: float, degrees: float
    ) -> None:
        height, width = cat.shape[:2]
        transform = np.vstack([cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale), [0, 0, 1]])
        transform[:2, 2] += (800 - width) / 2, (800 - height) / 2
        moved = cv2.warpPerspective(cat, transform, (800, 800))
        assert found_again(detector.detect(cat), detector.detect(moved), transform) > 0.6

    def test_descriptors_have_one_length_and_are_bytes(self, detector: KeypointDetector, cat: Picture) -> None:
        keypoints = detector.detect(cat)
        assert keypoints.kind == "rootsift"
        assert keypoints.descriptors.dtype == np.uint8
        lengths = np.linalg.norm(keypoints.descriptors.astype(np.float64), axis=1)
        assert np.abs(lengths / DESCRIPTOR_SCALE - 1).max() < 0.05

    def test_a_mask_is_the_limit(self, detector: KeypointDetector) -> None:
        centres = (100, 150), (300, 150)
        mask = np.zeros((300, 400), np.bool_)
        mask[:, :200] = True
        keypoints = detector.detect(blobs(*centres), mask)
        assert len(keypoints) > 0
        assert keypoints.points[:, 0].max() < 200
        large = cv2.resize(blobs(*centres), None, fx=4, fy=4)
        large_mask = mask.repeat(4, axis=0).repeat(4, axis=1)
        assert 0 < detector.detect(large, large_mask).points[:, 0].max() < 800

    def test_a_busy_part_does_not_take_all_the_places(self, cat: Picture) -> None:
        noise = np.random.default_rng(1).integers(0, 256, (300, 451, 3)).astype(np.uint8)
        both = np.hstack([noise, cat])
        assert len(KeypointDetector().detect(both)) > 600
        few = KeypointDetector(points_max=600).detect(both)
        assert len(few) == 600
        assert (few.points[:, 0] > 451).sum() > 200

    @pytest.mark.parametrize("shape", [(1, 1), (2, 900), (7, 7), (8, 8), (40, 3000), (300, 400)])
    def test_an_empty_picture_has_none_whatever_its_shape(
        self, detector: KeypointDetector, shape: tuple[int, int]
    ) -> None:
        keypoints = detector.detect(np.full((*shape, 3), 127, np.uint8))
        assert len(keypoints) == 0
        assert keypoints.descriptors.shape == (0, 128)
        assert len(Keypoints.from_bytes(keypoints.to_bytes())) == 0

    @pytest.mark.parametrize("mask", [np.ones((3, 3), np.bool_), np.ones((300, 451), np.uint8)])
    def test_a_mask_that_is_not_the_pictures_is_refused(
        self, detector: KeypointDetector, cat: Picture, mask: Any
    ) -> None:
        with pytest.raises(ValueError, match="a mask is bool"):
            detector.detect(cat, mask)

    def test_its_version_tells_other_settings_apart(self) -> None:
        assert KeypointDetector().model == "rootsift@2"
        assert KeypointDetector(points_max=500).model == "rootsift-960-500-0.005@2"
        assert KeypointDetector(contrast_min=CONTRAST_CLEAR).model == "rootsift-960-3000-0.02@2"

    def test_faint_keypoints_are_found_and_are_not_clear(self, cat: Picture) -> None:
        """A fifth of the contrast, as of a smooth thing in a compressed frame."""
        faint = np.rint(cat.astype(np.float32) * 0.2 + 100).astype(np.uint8)
        found, clear = KeypointDetector().detect(faint), KeypointDetector(contrast_min=CONTRAST_CLEAR).detect(faint)
        assert len(found) > 200
        assert len(clear) < len(found) / 2
        assert found_again(KeypointDetector().detect(cat), found, np.eye(3)) > 0.3

    def test_threads_do_not_mix_their_pictures(self, detector: KeypointDetector, cat: Picture) -> None:
        pictures = [cat, np.ascontiguousarray(cat[:, ::-1])] * 3
        expected = [detector.detect(picture).to_bytes() for picture in pictures]
        with ThreadPoolExecutor(3) as threads:
            assert [one.to_bytes() for one in threads.map(detector.detect, pictures)] == expected

    def test_another_process_gives_the_same_bytes(
        self, detector: KeypointDetector, cat: Picture, tmp_path: Path
    ) -> None:
        import hashlib

        np.save(tmp_path / "cat.npy", cat)
        command = [sys.executable, "-c", DETECT_ONCE, str(tmp_path / "cat.npy")]
        child = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert child.stdout.strip() == hashlib.sha256(detector.detect(cat).to_bytes()).hexdigest()


class TestStoring:
    @pytest.fixture
    def stored(self) -> bytes:
        numbers = np.arange(6, dtype=np.float32)
        return Keypoints(
            numbers.reshape(3, 2),
            numbers[:3],
            numbers[3:],
            np.arange(384, dtype=np.uint8).reshape(3, 128),
            "rootsift",
            640,
            360,
        ).to_bytes()

    def test_what_is_stored_comes_back(self, stored: bytes) -> None:
        keypoints = Keypoints.from_bytes(stored)
        assert keypoints.points.tolist() == [[0, 1], [2, 3], [4, 5]]
        assert (keypoints.scales.tolist(), keypoints.angles.tolist()) == ([0, 1, 2], [3, 4, 5])
        assert keypoints.descriptors.ravel().tolist() == [number % 256 for number in range(384)]
        assert (keypoints.kind, keypoints.width, keypoints.height) == ("rootsift", 640, 360)
        assert keypoints.to_bytes() == stored

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda _: b"",
            lambda data: data[: len(data) // 2],
            lambda data: data.replace(b"float32", b"object_")[:-1],
            lambda data: _changed(data, "points", np.zeros((2, 2), np.float32)),
            lambda data: _changed(data, "points", np.full((3, 2), np.nan, np.float32)),
            lambda data: _changed(data, "scales", np.zeros(3, np.float64)),
            lambda data: _changed(data, "descriptors", np.zeros((3, 64), np.uint8)),
            lambda data: _changed(data, "header", np.array([99, 1, 1])),
            lambda data: _changed(data, "kind", np.array([255, 254], np.uint8)),
            lambda data: _without(data, "angles.npy"),
        ],
    )
    def test_anything_else_is_refused(self, stored: bytes, spoil: Any) -> None:
        with pytest.raises(ContractViolation, match="damaged"):
            Keypoints.from_bytes(spoil(stored))

    def test_a_pickle_is_never_opened(self, stored: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        attack = np.array([_Attack()], dtype=object)
        with pytest.raises(ContractViolation):
            Keypoints.from_bytes(_changed(stored, "points", attack))
        assert not (tmp_path / "was-run").exists()


class _Attack:
    def __reduce__(self) -> Any:
        import os

        return os.mkdir, ("was-run",)


def _changed(data: bytes, name: str, value: npt.NDArray[Any]) -> bytes:
    with np.load(io.BytesIO(data)) as arrays:
        named: dict[str, Any] = {**dict(arrays), name: value}
    buffer = io.BytesIO()
    np.savez(buffer, **named)
    return buffer.getvalue()


def _without(data: bytes, member: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            if name != member:
                new.writestr(name, old.read(name))
    return buffer.getvalue()
