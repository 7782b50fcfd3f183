"""What a job of this pipeline is told."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from reelwork.errors import ConfigurationError
from reelwork.events import Mode
from reelwork.pipelines.stereo.models import UnknownModel, check_model
from reelwork.settings import Config

DEFAULT_SEGMENT_SECONDS: Final = 10.0


class StereoParameters(BaseModel):
    """mode: side by side (`sbs`, or `sbs-half` at the width of one view), or `anaglyph` for red and cyan glasses.
    model: how the second view is made; that of the setting MODEL if not given. segment_seconds: length of a segment, at
    least; cuts lie at keyframes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = "sbs"
    model: str = Field(default_factory=lambda: Config().MODEL)
    segment_seconds: float = Field(DEFAULT_SEGMENT_SECONDS, ge=0.1, le=3_600)


class StereoInput(BaseModel):
    """What is known of the submitted video. sha256: of its bytes, in hexadecimal."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sha256: str


class StereoJob(StereoParameters):
    """The parameters as the job row keeps them. input: None for a job that was made by its segments."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    input: StereoInput | None = None


def check_settings() -> None:
    """Raises ConfigurationError for a model that nobody knows here."""
    try:
        check_model(Config().MODEL)
    except UnknownModel as error:
        raise ConfigurationError(f"MODEL: {error}") from error


def check_parameters(parameters: StereoParameters) -> None:
    """Raises UnknownModel or ModelMissing for a model that cannot run here."""
    check_model(parameters.model)
