"""The video that a job was submitted with, and the index of its frames, which was made when it was taken in."""

from __future__ import annotations

from reelwork.errors import ObjectNotFound
from reelwork.ledger import Job
from reelwork.media import FrameIndex, MediaFile, build_frame_index
from reelwork.objects import ObjectStore
from reelwork.objects.keys import frame_index_key
from reelwork.pipelines.stereo.parameters import StereoJob


def source_of(job: Job, objects: ObjectStore) -> MediaFile | None:
    """None for a job that was made by its segments, and has no video of its own.

    Raises ObjectNotFound where the video of a submitted job is gone.
    """
    try:
        return objects.readable(job.input_path)
    except ObjectNotFound:
        if StereoJob.model_validate(job.parameters).input is not None:
            raise
        return None


def frame_index_of(job: StereoJob, video: MediaFile, objects: ObjectStore) -> FrameIndex:
    """The stored index of a video, or a new one where there is none."""
    if job.input is not None:
        try:
            return FrameIndex.from_bytes(objects.get(frame_index_key(job.input.sha256)))
        except ObjectNotFound:
            pass
    return build_frame_index(video)
