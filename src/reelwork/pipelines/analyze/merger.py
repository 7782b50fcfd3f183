"""Joins the ranges of a video into its results. The same ranges always give the same bytes; the first writer wins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO

from reelwork.events import VideoRangesCompleted
from reelwork.ledger import AssetRecord, AssetState
from reelwork.objects import ObjectStore
from reelwork.pipelines.analyze.analyzer import RANGES_STAGE
from reelwork.pipelines.analyze.analyzers import load_analyzers
from reelwork.pipelines.analyze.parameters import AnalyzeJob
from reelwork.pipelines.analyze.ranges import RangeResults, merge_ranges
from reelwork.runtime import Context, Service

merger = Service("merger")


@merger.on(VideoRangesCompleted, queue="q.merger.ranges.completed")
def handle_video_ranges_completed(event: VideoRangesCompleted, context: Context) -> None:
    if event.processed_assets == 0:
        context.fail_job(_why_nothing_came_out(context))
        return
    job = AnalyzeJob.model_validate(context.job.parameters)
    done = context.ledger.assets(event.job_id, RANGES_STAGE, states=[AssetState.DONE], include_late=False)
    with context.results() as file:
        frames = merge_ranges(_ranges(done, context.objects), load_analyzers(job.pipeline_id))
        write_json_array(frames, file)


def write_json_array(items: Iterator[dict[str, object]], file: IO[bytes]) -> None:
    """One item a line, so that a person can read it and a program can stream it."""
    separator = b"[\n"
    for item in items:
        file.write(separator + json.dumps(item, separators=(",", ":")).encode())
        separator = b",\n"
    file.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def _ranges(assets: Iterator[AssetRecord], objects: ObjectStore) -> Iterator[RangeResults]:
    for asset in assets:
        assert asset.result is not None
        yield RangeResults.from_bytes(objects.get(asset.result["key"]))


def _why_nothing_came_out(context: Context) -> str:
    failed = context.ledger.assets(context.job.job_id, RANGES_STAGE, states=[AssetState.FAILED])
    first = next(failed, None)
    reason = "the video has no frames to process" if first is None else f"first reason: {first.error}"
    return f"no frame of the video could be analysed; {reason}"
