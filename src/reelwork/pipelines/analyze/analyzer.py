"""Analyses one range of frames and stores what it measured under a key that only this attempt uses."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from reelwork.events import VideoRangeReady, VideoRangesBatch, VideoRangesCompleted
from reelwork.ledger import CompletionPolicy
from reelwork.media import MediaFile, VideoDecoder
from reelwork.objects import ObjectStore
from reelwork.objects.keys import stage_output_key
from reelwork.pipelines.analyze.analyzers import load_analyzers
from reelwork.pipelines.analyze.analyzers.base import Analyzer
from reelwork.pipelines.analyze.frame_plan import frame_index_of, frames_between, processed_frames
from reelwork.pipelines.analyze.parameters import AnalyzeJob
from reelwork.pipelines.analyze.ranges import analyze_range
from reelwork.runtime import Context, Service

RANGES_STAGE: Final = "video.ranges"
LOADED_PIPELINES_MAX: Final = 4

analyzer = Service("analyzer")


@analyzer.stage(
    RANGES_STAGE,
    announced_by=VideoRangesBatch,
    completes_with=VideoRangesCompleted,
    policy=CompletionPolicy(threshold_percentage=100, watermark_ttl_seconds=None),
)
@analyzer.on(VideoRangeReady, queue="q.analyzer.ranges")
def handle_video_range_ready(event: VideoRangeReady, context: Context) -> dict[str, Any]:
    job = AnalyzeJob.model_validate(context.job.parameters)
    video = opened(context.objects.readable(context.job.input_path), job, context.objects)
    wanted = frames_between(processed_frames(job, len(video.index)), event.start, event.end)
    try:
        results = analyze_range(video, wanted, loaded(job.pipeline_id))
    except BaseException:
        opened.cache_clear()
        raise
    key = stage_output_key(event.job_id, RANGES_STAGE, event.asset_id, context.attempt)
    context.objects.put(key, results.to_bytes())
    return {"key": key, "frames": len(results.frames)}


@lru_cache(LOADED_PIPELINES_MAX)
def loaded(pipeline_id: str) -> tuple[Analyzer, ...]:
    """Analyzers keep their models, and a process works on one range at a time."""
    return load_analyzers(pipeline_id)


@lru_cache(1)
def opened(video: MediaFile, job: AnalyzeJob, objects: ObjectStore) -> VideoDecoder:
    """A worker's ranges mostly belong to one video, and opening one costs as much as decoding several frames."""
    return VideoDecoder(video, frame_index_of(job, video, objects))
