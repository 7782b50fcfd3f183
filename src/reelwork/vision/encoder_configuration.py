"""What must be known of an image encoder besides its ONNX file: how it wants its pictures, and what comes out."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from reelwork.errors import ConfigurationError
from reelwork.vision.picture_input import Fit, PictureInput

CODE_REVISION: Final = 1
"""Raised whenever the same file and the same configuration would give other embeddings."""


class Pooling(StrEnum):
    """How the output becomes one vector: as it is; the first token; the mean of all tokens, or of all places."""

    NONE = "none"
    FIRST = "first"
    MEAN = "mean"


class EncoderConfiguration(PictureInput):
    """Read from JSON. `output` is the first one if not named."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$")
    file: str
    output: str | None = None
    pooling: Pooling = Pooling.NONE
    fit: Fit = Fit.STRETCH

    def model_version(self, weights_sha256: str) -> str:
        """`name@version`; another file, configuration or revision is another version, so stored features never mix."""
        known = self.model_dump_json(exclude={"name", "file"})
        return f"{self.name}@{hashlib.sha256(f'{CODE_REVISION}{weights_sha256}{known}'.encode()).hexdigest()[:8]}"


def read_encoder_configuration(path: Path) -> EncoderConfiguration:
    """ConfigurationError, which names the field, for a file that is not there or not whole."""
    try:
        return EncoderConfiguration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigurationError(f"{path} does not describe an image encoder: {problems}") from error
