"""The `analyze` pipeline: a video in, one result for every sampled frame out."""

from reelwork.pipelines.analyze.video_file import VideoFilePipelineService as VideoFilePipelineService
