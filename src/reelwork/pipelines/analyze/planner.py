"""Cuts a submitted video into ranges and announces how many there are, before the first of them."""

from __future__ import annotations

from reelwork.events import VideoRangeReady, VideoRangesBatch, VideoSubmitted
from reelwork.pipelines.analyze.frame_plan import cut_into_ranges, frame_index_of
from reelwork.pipelines.analyze.parameters import AnalyzeJob
from reelwork.runtime import Context, Service

planner = Service("planner")


@planner.on(VideoSubmitted, queue="q.analyze.jobs")
def handle_video_submitted(event: VideoSubmitted, context: Context) -> None:
    job = AnalyzeJob.model_validate(context.job.parameters)
    index = frame_index_of(job, context.objects.readable(context.job.input_path), context.objects)
    ranges = cut_into_ranges(job, index)
    context.start_job()
    context.emit(VideoRangesBatch(job_id=event.job_id, event_id=context.new_id(), total_ranges=len(ranges)))
    for range_index, (start, end) in enumerate(ranges):
        context.emit(
            VideoRangeReady(
                job_id=event.job_id, event_id=context.new_id(), range_index=range_index, start=start, end=end
            )
        )
