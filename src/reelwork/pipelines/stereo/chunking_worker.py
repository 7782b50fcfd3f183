"""Cuts a submitted video into segments: first it says where, then it puts them where video-workers find them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from reelwork.events import SegmentsPlanned, SegmentUploaded, StereoSubmitted, stable_event_id
from reelwork.media import MediaFile, check_sound, cut_segments, plan_cuts, sampled_pictures
from reelwork.objects import ObjectStore
from reelwork.objects.keys import segment_key, stereo_plan_key
from reelwork.pipelines.stereo.models import load_model
from reelwork.pipelines.stereo.parameters import StereoJob, check_settings
from reelwork.pipelines.stereo.plan import StereoPlan
from reelwork.pipelines.stereo.source import frame_index_of
from reelwork.runtime import Context, Service
from reelwork.vision.opencv import Picture

FRAMES_SAMPLED: Final = 32
"""Of a video, to see how deep it is."""

chunking_worker = Service("chunking-worker", check=check_settings)


@chunking_worker.on(StereoSubmitted, queue="q.chunking_worker.jobs")
def handle_stereo_submitted(event: StereoSubmitted, context: Context) -> None:
    """The plan is recorded before the first segment is there, and whoever tries again keeps to it."""
    job = StereoJob.model_validate(context.job.parameters)
    video = context.objects.readable(context.job.input_path)
    check_sound(video)
    cuts = plan_cuts(video, target_seconds=job.segment_seconds)
    plan = StereoPlan(cuts, load_model(job.model).depth_range(_sampled(job, video, context.objects)))
    key = stereo_plan_key(event.job_id)
    context.objects.put(key, plan.to_bytes())
    context.start_job()
    context.emit(
        SegmentsPlanned(
            job_id=event.job_id,
            event_id=stable_event_id(f"{event.job_id}/{SegmentsPlanned.topic}"),
            total_segments=len(cuts.segments),
            plan_key=key,
        )
    )


def _sampled(job: StereoJob, video: MediaFile, objects: ObjectStore) -> Iterator[Picture]:
    """Looks at the video only when somebody asks for the pictures."""
    yield from sampled_pictures(video, frame_index_of(job, video, objects), FRAMES_SAMPLED)


@chunking_worker.on(SegmentsPlanned, queue="q.chunking_worker.segments.planned")
def handle_segments_planned(event: SegmentsPlanned, context: Context) -> None:
    """One segment is in memory at a time."""
    job = StereoJob.model_validate(context.job.parameters)
    plan = StereoPlan.from_bytes(context.objects.get(event.plan_key))
    for segment_index, data in cut_segments(context.objects.readable(context.job.input_path), plan.cuts):
        context.raise_if_cancelled()
        key = segment_key(event.job_id, segment_index, event.total_segments, job.mode)
        context.objects.put(key, data)
        sequencer = hashlib.sha256(data).hexdigest()[:16].upper()
        context.emit(SegmentUploaded.of(context.objects.bucket_of(key), key, size=len(data), sequencer=sequencer))
        del data  # or two segments would be in memory
