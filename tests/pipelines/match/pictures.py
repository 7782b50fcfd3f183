"""Pictures of products and frames with known truth, drawn so that every keypoint's true place can be computed."""

from __future__ import annotations

from functools import partial

import numpy as np

from reelwork.pipelines.match.matching import FrameFeatures, ImageFeatures, ProductFeatures, Template, VideoFeatures
from reelwork.vision.keypoints import KeypointDetector
from reelwork.vision.opencv import Picture, cv2

FRAME_SIZE = (960, 540)
BAND = 70
detector = KeypointDetector()


def product_picture(seed: int, *, brand: int | None = None, width: int = 300, height: int = 400) -> Picture:
    """Shapes and letters in many colours; products of one brand have the same band at the top."""
    picture = _shapes(np.random.default_rng(seed), width, height)
    if brand is not None:
        picture[:BAND] = _shapes(np.random.default_rng(10_000 + brand), width, BAND)
    return picture


def _shapes(random: np.random.Generator, width: int, height: int) -> Picture:
    picture = np.full((height, width, 3), random.integers(60, 200, 3), np.uint8)
    for _ in range(width * height // 600):
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        x, y = int(random.integers(width)), int(random.integers(height))
        if random.random() < 0.5:
            axes = tuple(int(value) for value in random.integers(4, 28, 2))
            cv2.ellipse(picture, (x, y), axes, float(random.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            letter = chr(int(random.integers(65, 91)))
            cv2.putText(picture, letter, (x, y), 0, float(random.uniform(0.5, 1.6)), colour, 2, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 0.8)


def background(seed: int) -> Picture:
    """A frame without any product: large soft shapes."""
    random = np.random.default_rng(50_000 + seed)
    small = random.integers(0, 256, (34, 60, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, FRAME_SIZE, interpolation=cv2.INTER_CUBIC), np.uint8)


def placed(
    frame: Picture,
    picture: Picture,
    *,
    middle: tuple[float, float],
    scale: float = 0.8,
    turn: float = 0,
    tilt: float = 0,
) -> tuple[Picture, np.ndarray]:
    """The frame with the product in it, and the homography that put it there; `tilt` squeezes its right side."""
    height, width = picture.shape[:2]
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) * scale / 2
    corners[1:3, 1] *= 1 - tilt
    angle = np.deg2rad(turn)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    target = np.float32(corners @ rotation + middle)
    source = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    homography = cv2.getPerspectiveTransform(source, target)
    small = cv2.GaussianBlur(picture, (0, 0), max(0.1, 0.4 / scale))
    warped = cv2.warpPerspective(small, homography, FRAME_SIZE)
    inside = cv2.warpPerspective(np.full(picture.shape[:2], 255, np.uint8), homography, FRAME_SIZE) > 127
    return np.where(inside[..., None], warped, frame).astype(np.uint8), homography


def product(name: str, *pictures: Picture) -> ProductFeatures:
    """Features of a product; the embedding says nothing."""
    images = [
        ImageFeatures(f"{name}-{n}", _any(), detector.detect(picture), partial(_template, picture))
        for n, picture in enumerate(pictures)
    ]
    return ProductFeatures(name, images)


def _template(picture: Picture) -> Template:
    return Template.of(picture, np.ones(picture.shape[:2], np.bool_))


def video(name: str, *frames: Picture, seconds_apart: float = 1.0) -> VideoFeatures:
    """Features of a video, one frame every so many seconds."""
    return VideoFeatures(
        name,
        [
            FrameFeatures(f"{number:04d}", number * seconds_apart, _any(), detector.detect(frame), frame.copy)
            for number, frame in enumerate(frames)
        ],
    )


def _any() -> np.ndarray:
    return np.array([1, 0, 0], np.float32)
