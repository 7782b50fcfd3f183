"""The `analyze` pipeline: a video in, one result for every sampled frame out."""

from reelwork.pipelines.analyze.pipeline import pipeline
from reelwork.pipelines.analyze.video_file import VideoFilePipelineService

__all__ = ["VideoFilePipelineService", "pipeline"]
