"""What a job of this pipeline is told, and what it knows of its input."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from reelwork.pipelines.analyze.analyzers import load_analyzers

DEFAULT_PIPELINE_ID: Final = "shots+quality"


class AnalyzeParameters(BaseModel):
    """pipeline_id: names of analyzers joined by +. frame_stride: every n-th source frame.

    max_frames: processed at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline_id: str = DEFAULT_PIPELINE_ID
    frame_stride: int = Field(1, ge=1)
    max_frames: int | None = Field(None, ge=1)


class AnalyzedVideo(BaseModel):
    """The input, as it was measured when it was accepted."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    frame_count: int


class AnalyzeJob(AnalyzeParameters):
    """The parameters as the job row keeps them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    input: AnalyzedVideo


def check_parameters(parameters: AnalyzeParameters) -> None:
    """Raises UnknownAnalyzer, ModelMissing or ConfigurationError for analyzers that cannot run here."""
    load_analyzers(parameters.pipeline_id)
