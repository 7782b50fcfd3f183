"""Joins the converted segments when the last of them is there. The same segments always give the same video."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from reelwork.errors import ObjectNotFound, UnreadableMedia
from reelwork.events import ReassemblyCompleted, SegmentsCompleted
from reelwork.ledger import CompletionPolicy
from reelwork.media import CutPlan, MediaFile, join_segments, place_segments
from reelwork.objects.keys import build_output_segment_key, final_key, stage_output_key, stereo_plan_key
from reelwork.pipelines.stereo.models import converts
from reelwork.pipelines.stereo.parameters import StereoJob
from reelwork.pipelines.stereo.plan import StereoPlan
from reelwork.pipelines.stereo.source import frame_index_of, source_of
from reelwork.runtime import Context, Service

REASSEMBLY_STAGE: Final = "reassembly"

media_worker = Service("media-worker")


@media_worker.stage(
    REASSEMBLY_STAGE,
    announced_by=None,
    completes_with=ReassemblyCompleted,
    policy=CompletionPolicy(threshold_percentage=100, watermark_ttl_seconds=None, allow_partial=False),
)
@media_worker.on(SegmentsCompleted, queue="q.media_worker.segments.completed")
def handle_segments_completed(event: SegmentsCompleted, context: Context) -> dict[str, Any]:
    """Safe to repeat: the final key gets a whole video or none, and an equal one that is there is adopted."""
    objects, job_id = context.objects, event.job_id
    segments = [
        partial(objects.readable, build_output_segment_key(job_id, segment_index))
        for segment_index in range(event.total_assets)
    ]
    source = source_of(context.job, objects)
    cuts = _cuts(context, segments, source)
    attempt_key = stage_output_key(job_id, REASSEMBLY_STAGE, "final", context.attempt)
    with objects.staged(attempt_key) as output:
        joined = join_segments(segments, cuts, source, output)
        context.raise_if_cancelled()
        size_bytes = output.stat().st_size
    objects.promote(attempt_key, final_key(job_id))
    objects.delete([attempt_key])
    return {
        "key": final_key(job_id),
        "frames": joined.frame_count,
        "seconds": joined.duration_seconds,
        "sound_packets": joined.sound_packets,
        "bytes": size_bytes,
    }


def _cuts(context: Context, segments: Sequence[Callable[[], MediaFile]], source: MediaFile | None) -> CutPlan:
    """As the chunking-worker has planned them; segments that came without it are placed by their frames."""
    job, objects = context.job, context.objects
    try:
        cuts = StereoPlan.from_bytes(objects.get(stereo_plan_key(job.job_id))).cuts
    except ObjectNotFound:
        parameters = StereoJob.model_validate(job.parameters)
        return place_segments(segments, None if source is None else frame_index_of(parameters, source, objects))
    if len(cuts.segments) != len(segments):
        raise UnreadableMedia(
            f"{len(segments)} segments were converted, and the video was cut into {len(cuts.segments)}: "
            "some were put there by hand; submit the video again"
        )
    return cuts


@media_worker.on(ReassemblyCompleted, queue="q.media_worker.reassembly.completed")
def handle_reassembly_completed(event: ReassemblyCompleted, context: Context) -> None:
    job = StereoJob.model_validate(context.job.parameters)
    (final,) = context.ledger.assets(event.job_id, REASSEMBLY_STAGE)
    assert final.result is not None
    account = {"mode": job.mode, "model": job.model, "is_converted": converts(job.model), **final.result}
    with context.results() as file:
        file.write(json.dumps([account], indent=2).encode() + b"\n")
