"""Converts one segment: fetches it, makes two views of every frame, and puts the result where its index says.

Run as a program it is `reelwork worker video-worker`.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, Final

from reelwork.errors import ObjectNotFound, UnreadableMedia
from reelwork.events import SegmentsCompleted, SegmentsPlanned, SegmentUploaded
from reelwork.events.segment_completion import SegmentCompletion
from reelwork.ledger import CompletionPolicy, NewJob
from reelwork.media import count_frames
from reelwork.objects import ObjectStore
from reelwork.objects.keys import build_output_segment_key, input_key, stage_output_key, stereo_plan_key
from reelwork.pipelines.stereo.models import DepthRange, StereoModel, load_model
from reelwork.pipelines.stereo.parameters import StereoJob, StereoParameters, check_parameters, check_settings
from reelwork.pipelines.stereo.plan import StereoPlan
from reelwork.runtime import Context, Service

PIPELINE: Final = "stereo"
SEGMENTS_STAGE: Final = "segments"

video_worker = Service("video-worker", check=check_settings)


def job_of_segment(event: SegmentUploaded, objects: ObjectStore) -> NewJob:
    """The job of a segment that somebody has put there by hand, before or without submitting a video.

    Raises ObjectNotFound for a segment that is gone: what is left in a queue brings no removed job back.
    """
    objects.size(event.key)
    parameters = StereoParameters(mode=event.payload.mode)
    check_parameters(parameters)
    return NewJob(
        job_id=event.job_id,
        pipeline=PIPELINE,
        input_path=input_key(event.job_id),
        parameters=parameters.model_dump(mode="json"),
    )


@video_worker.stage(
    SEGMENTS_STAGE,
    announced_by=SegmentsPlanned,
    completes_with=SegmentsCompleted,
    policy=CompletionPolicy(threshold_percentage=100, watermark_ttl_seconds=None, allow_partial=False),
)
@video_worker.on(
    SegmentUploaded,
    queue="q.video_worker.segments",
    only_for=lambda job: job.pipeline == PIPELINE,
    makes_job=job_of_segment,
)
def handle_segment_uploaded(event: SegmentUploaded, context: Context) -> dict[str, Any]:
    """What it writes counts only when it has as many frames as it was made from."""
    payload, objects = event.payload, context.objects
    model = loaded(StereoJob.model_validate(context.job.parameters).model)
    data = objects.get(event.key)
    converted = model.process_segment(data, mode=payload.mode, depth_range=depth_range_of(payload.job_id, objects))
    context.raise_if_cancelled()
    frames, wanted = count_frames(converted), count_frames(data)
    if frames != wanted:
        raise UnreadableMedia(f"segment {payload.segment_index} has {frames} frames after, {wanted} before conversion")
    key = build_output_segment_key(payload.job_id, payload.segment_index)
    attempt_key = stage_output_key(payload.job_id, SEGMENTS_STAGE, str(payload.segment_index), context.attempt)
    objects.put(attempt_key, converted)
    objects.promote(attempt_key, key)
    objects.delete([attempt_key])
    completion = SegmentCompletion(
        job_id=payload.job_id,
        segment_index=payload.segment_index,
        output_s3_uri=f"s3://{objects.bucket_of(key)}/{key}",
        completed_at=datetime.now(UTC),
        total_segments=payload.total_segments,
    )
    return {**completion.model_dump(mode="json"), "frames": frames, "bytes": len(converted)}


def depth_range_of(job_id: str, objects: ObjectStore) -> DepthRange | None:
    """That of the whole video; None where nobody has looked at it."""
    try:
        return StereoPlan.from_bytes(objects.get(stereo_plan_key(job_id))).depth_range
    except ObjectNotFound:
        return None


@lru_cache(4)
def loaded(name: str) -> StereoModel:
    """Models keep their weights from one segment to the next."""
    return load_model(name)


def main() -> None:
    (reelwork,) = entry_points(group="console_scripts", name="reelwork")
    sys.argv[1:1] = ["worker", video_worker.name]
    reelwork.load()()


if __name__ == "__main__":
    main()
