"""What matching is given: embeddings and keypoints of products and of frames; pixels only where it asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reelwork.pipelines.match.matching.resemblance import Template
from reelwork.vision.keypoints import Keypoints
from reelwork.vision.opencv import Picture

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """One picture of a product; `embedding` is (d,), L2-normalised."""

    image_id: str
    embedding: Vector
    keypoints: Keypoints
    template: Callable[[], Template] | None = None
    """Without it, a weak pose is never looked at closely, and says nothing."""


@dataclass(frozen=True, eq=False)
class ProductFeatures:
    """A product, by all its pictures."""

    product_id: str
    images: Sequence[ImageFeatures]


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """One frame of a video at `ts` seconds; `embedding` is (d,), L2-normalised, of the whole frame."""

    frame_id: str
    ts: float
    embedding: Vector
    keypoints: Keypoints
    picture: Callable[[], Picture] | None = None
    """Its pixels, of the size that the keypoints name; asked for once at most, where a weak pose is to be looked at."""


@dataclass(frozen=True, eq=False)
class VideoFeatures:
    """A video, by its frames in any order. seconds: how long it is; None where nobody knows."""

    video_id: str
    frames: Sequence[FrameFeatures]
    seconds: float | None = None
