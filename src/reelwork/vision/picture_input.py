"""How a model wants its pictures: the part that all ONNX models on pictures share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from reelwork.vision.opencv import Picture, cv2

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Fit(StrEnum):
    """How a picture of any shape becomes a square."""

    STRETCH = "stretch"
    CROP = "crop"
    PAD = "pad"


class Layout(StrEnum):
    """Order of the axes of the input: batch, channels, height, width."""

    NCHW = "nchw"
    NHWC = "nhwc"


class Channels(StrEnum):
    """Order of the colours of the input."""

    RGB = "rgb"
    BGR = "bgr"


class PictureInput(BaseModel):
    """`mean` and `std` are of values from 0 to 1, as the papers give them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_size: int = Field(ge=1, le=2048)
    mean: tuple[Finite, Finite, Finite] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)
    layout: Layout = Layout.NCHW
    channels: Channels = Channels.RGB

    def prepared(self, image: Picture, fit: Fit) -> npt.NDArray[np.float32]:
        """A batch of one, of a BGR picture of any size."""
        colour = slice(None, None, -1) if self.channels is Channels.RGB else slice(None)
        # In the pictures' own order, blue first; turned around at the end, together with the colours.
        mean, std = (np.array(values, np.float32)[colour] * 255 for values in (self.mean, self.std))
        square = fit_to_square(image, self.input_size, fit, padding=tuple(mean.tolist()))
        normal = ((square.astype(np.float32) - mean) / std)[:, :, colour]
        return np.ascontiguousarray((normal.transpose(2, 0, 1) if self.layout is Layout.NCHW else normal)[None])


def fit_to_square(image: Picture, side: int, fit: Fit, *, padding: tuple[float, ...]) -> Picture:
    """A (side, side, 3) picture; what shrinks is averaged, so that fine patterns do not turn into coarse ones."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"a picture is uint8 (height, width, 3), not {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    if fit is Fit.CROP:
        edge = min(height, width)
        top, left = (height - edge) // 2, (width - edge) // 2
        return _resized(image[top : top + edge, left : left + edge], side, side)
    if fit is Fit.STRETCH:
        return _resized(image, side, side)
    new_width = max(1, min(side, round(side * width / max(height, width))))
    new_height = max(1, min(side, round(side * height / max(height, width))))
    square = np.empty((side, side, 3), np.uint8)
    square[:] = np.round(padding)
    top, left = (side - new_height) // 2, (side - new_width) // 2
    square[top : top + new_height, left : left + new_width] = _resized(image, new_width, new_height)
    return square


def _resized(image: Picture, width: int, height: int) -> Picture:
    shrinks = image.shape[1] >= width and image.shape[0] >= height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)
