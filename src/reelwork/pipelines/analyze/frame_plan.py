"""The frames of a job: the index of its video, shared by all who decode it, and the ranges they are cut into."""

from __future__ import annotations

from typing import Final

from reelwork.errors import ObjectNotFound
from reelwork.media import FrameIndex, MediaFile, build_frame_index, select_frames, split_at_keyframes
from reelwork.objects import ObjectStore
from reelwork.objects.keys import frame_index_key
from reelwork.pipelines.analyze.parameters import AnalyzeJob

# A range must be long enough that seeking and recording are lost in it, and short enough that workers finish together.
RANGE_PROCESSED_FRAMES: Final = 150
RANGE_SOURCE_FRAMES: Final = 600


def frame_index_of(job: AnalyzeJob, video: MediaFile, objects: ObjectStore) -> FrameIndex:
    """The stored index of a video; made, and stored for the next one, where there is none."""
    key = frame_index_key(job.input.sha256)
    try:
        return FrameIndex.from_bytes(objects.get(key))
    except ObjectNotFound:
        index = build_frame_index(video)
        objects.put(key, index.to_bytes())
        return index


def processed_frames(job: AnalyzeJob, frame_count: int) -> range:
    """Source indices of all frames that the job processes."""
    return select_frames(frame_count, frame_stride=job.frame_stride, max_frames=job.max_frames)


def cut_into_ranges(job: AnalyzeJob, index: FrameIndex) -> list[tuple[int, int]]:
    """[start, end) source ranges that begin at keyframes and hold all processed frames."""
    target = max(1, min(RANGE_PROCESSED_FRAMES, RANGE_SOURCE_FRAMES // job.frame_stride))
    return split_at_keyframes(index, processed_frames(job, len(index)), target_frames=target)


def frames_between(selected: range, start: int, end: int) -> range:
    """The part of the processed frames that lies in [start, end)."""
    first = len(range(selected.start, start, selected.step)) if start > selected.start else 0
    last = len(range(selected.start, end, selected.step)) if end > selected.start else 0
    return selected[first:last]
