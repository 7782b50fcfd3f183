"""How near each point of a picture is, by any monocular depth network in ONNX.

The numbers of such networks hold within a picture; how large they are is a guess. What is compared across pictures is
therefore put into one range, which is taken from the whole video.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from reelwork.errors import ConfigurationError, UnusableModel
from reelwork.vision.models_folder import model_path
from reelwork.vision.onnx_session import open_session
from reelwork.vision.opencv import Picture, cv2
from reelwork.vision.picture_input import Fit, PictureInput

DEFAULT_DEPTH_MODEL: Final = "fastdepth"
PERCENTILES: Final = (2.0, 98.0)
NEAREST_METRES: Final = 0.1

Nearness = npt.NDArray[np.float32]
"""(height, width), larger where it is nearer, in the units of the network."""
DepthRange = tuple[float, float]
"""The farthest and the nearest, as nearness."""


class Meaning(StrEnum):
    """What a network's numbers grow with: the distance (its inverse is used), or nearness."""

    DEPTH = "depth"
    INVERSE_DEPTH = "inverse_depth"


class DepthConfiguration(PictureInput):
    """Read from JSON. disparity: of the nearest point minus that of the farthest, as a part of the picture's width.
    screen: where the screen stands between the farthest (0) and the nearest (1).
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$")
    file: str
    meaning: Meaning = Meaning.INVERSE_DEPTH
    disparity: Annotated[float, Field(gt=0, le=0.1)] = 0.025
    screen: Annotated[float, Field(ge=0, le=1)] = 0.6


FASTDEPTH: Final = DepthConfiguration(
    name=DEFAULT_DEPTH_MODEL,
    file=DEFAULT_DEPTH_MODEL,
    input_size=224,
    mean=(0, 0, 0),
    std=(1, 1, 1),
    meaning=Meaning.DEPTH,
)
"""Wofk et al., "FastDepth: fast monocular depth estimation on embedded systems", ICRA 2019; metres, learned indoors."""


class DepthEstimator:
    """Not cheap to make; make one for each process."""

    def __init__(self, onnx_model: bytes, configuration: DepthConfiguration) -> None:
        self.configuration = configuration
        self._session = open_session(onnx_model, configuration.name)
        self._input = self._session.get_inputs()[0].name
        side = configuration.input_size
        self.nearness(np.full((side, side, 3), 127, np.uint8))

    def nearness(self, picture: Picture) -> Nearness:
        """At the size of the network's output. Raises UnusableModel."""
        name = self.configuration.name
        try:
            output = self._session.run(None, {self._input: self.configuration.prepared(picture, Fit.STRETCH)})[0]
        except Exception as error:  # the runtime's own exceptions have no common base but this
            raise UnusableModel(f"{name} does not take its pictures as configured: {error}") from error
        values = np.squeeze(np.asarray(output, np.float32))
        if values.ndim != 2 or not np.isfinite(values).all():
            raise UnusableModel(f"{name} gives {values.shape} numbers, not one finite number for each place")
        if self.configuration.meaning is Meaning.INVERSE_DEPTH:
            return values
        # No distance at all is what such networks say of the sky.
        return np.where(values > 0, np.reciprocal(np.maximum(values, np.float32(NEAREST_METRES))), np.float32(0))

    def depth_range(self, pictures: Iterable[Picture]) -> DepthRange | None:
        """Of some pictures of a video; outliers do not count. None where there are no pictures."""
        seen = [np.percentile(self.nearness(picture), PERCENTILES) for picture in pictures]
        if not seen:
            return None
        far, near = np.array(seen).T
        return float(np.percentile(far, PERCENTILES[0])), float(np.percentile(near, PERCENTILES[1]))

    def disparity(self, picture: Picture, depth_range: DepthRange) -> npt.NDArray[np.float32]:
        """Of each pixel of the picture, in pixels: what lies at the screen has none, what is nearer a positive one."""
        far, near = depth_range
        height, width = picture.shape[:2]
        place = np.clip((self.nearness(picture) - far) / max(near - far, 1e-9), 0, 1)
        large = cv2.resize(place, (width, height), interpolation=cv2.INTER_LINEAR)
        wanted = self.configuration
        return np.asarray((large - wanted.screen) * (wanted.disparity * width), np.float32)


def load_depth_estimator(name_or_path: str = DEFAULT_DEPTH_MODEL, *, models_dir: Path | None = None) -> DepthEstimator:
    """The built-in network by its name, or any other by its configuration, a `.json` file beside the ONNX file.

    ModelMissing, ConfigurationError, UnusableModel."""
    if name_or_path == DEFAULT_DEPTH_MODEL:
        return DepthEstimator(model_path(DEFAULT_DEPTH_MODEL, models_dir).read_bytes(), FASTDEPTH)
    path = Path(name_or_path)
    if path.suffix != ".json":
        raise ConfigurationError(
            f"there is no depth network {name_or_path!r}; give {DEFAULT_DEPTH_MODEL}, or a .json configuration"
        )
    try:
        configuration = DepthConfiguration.model_validate_json(path.read_bytes())
        return DepthEstimator((path.parent / configuration.file).read_bytes(), configuration)
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigurationError(f"{path} does not describe a depth network: {problems}") from error
