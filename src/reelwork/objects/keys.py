"""The only place where object keys are made. A key never holds anything a user typed.

Those of segments are told of by events, which read them: their grammar lies one floor lower.
"""

from __future__ import annotations

import re
from typing import Final

from reelwork.events import JOB_ID_PATTERN
from reelwork.events.segment_key import SEGMENT_PREFIX as SEGMENT_PREFIX
from reelwork.events.segment_key import VideoWorkerPayload as VideoWorkerPayload
from reelwork.events.segment_key import parse_segment_key as parse_segment_key
from reelwork.events.segment_key import segment_key as segment_key

INPUT_PREFIX: Final = "input/"
FINAL_NAME: Final = "final.mp4"

_JOB_ID = re.compile(JOB_ID_PATTERN, re.ASCII)
_INPUT = re.compile(r"input/([A-Za-z0-9_-]{1,64})/(?:source\.mp4|[a-z]{1,20}/[0-9]{5})")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}")
_KIND = re.compile(r"[a-z]{1,20}")


def inputs_prefix(job_id: str) -> str:
    """Everything that a job was given."""
    return f"{INPUT_PREFIX}{_checked(_JOB_ID, job_id)}/"


def input_key(job_id: str) -> str:
    """The uploaded source of a job."""
    return f"{inputs_prefix(job_id)}source.mp4"


def upload_key(job_id: str, kind: str, number: int) -> str:
    """One of many files that a job was given; kind: what it is to the job, such as `products`."""
    return f"{inputs_prefix(job_id)}{_checked(_KIND, kind)}/{number:05d}"


def job_of_input(key: str) -> str | None:
    """The job that was given this file; None for any other key."""
    found = _INPUT.fullmatch(key)
    return found and found[1]


def results_key(job_id: str) -> str:
    """The merged results of a job; the first writer wins."""
    return f"jobs/{_checked(_JOB_ID, job_id)}/results.json"


def job_prefix(job_id: str) -> str:
    """Everything that a job has written, its results included."""
    return f"jobs/{_checked(_JOB_ID, job_id)}/"


def stages_prefix(job_id: str) -> str:
    """Everything that the stages of a job have written."""
    return f"{job_prefix(job_id)}stages/"


def stage_output_key(job_id: str, stage: str, asset_id: str, attempt: str) -> str:
    """What one attempt at one asset wrote; the asset row names the attempt that counts."""
    parts = [_checked(_PART, part) for part in (stage, asset_id, attempt)]
    return stages_prefix(job_id) + "/".join(parts)


def stereo_plan_key(job_id: str) -> str:
    """Where the video of a job is cut into segments, and how deep it is."""
    return f"{job_prefix(job_id)}segments/plan.json"


def build_output_segment_key(job_id: str, segment_index: int) -> str:
    """A segment as it was converted."""
    return f"{job_prefix(job_id)}segments/{segment_index}.mp4"


def final_key(job_id: str) -> str:
    """The converted video of a job; the first writer wins. It is an artifact, too, under its name."""
    return f"{job_prefix(job_id)}{FINAL_NAME}"


def artifacts_prefix(job_id: str) -> str:
    """Everything that a job has made for people to look at."""
    return f"{job_prefix(job_id)}artifacts/"


def artifact_key(job_id: str, name: str) -> str:
    """Something that a job has made for people to look at; `name` may have folders."""
    if name == FINAL_NAME:
        return final_key(job_id)
    return artifacts_prefix(job_id) + "/".join(_checked(_PART, part) for part in name.split("/"))


def notes_key(job_id: str, name: str) -> str:
    """What a service has to say of a job, for the job's account."""
    return f"{job_prefix(job_id)}notes/{_checked(_PART, name)}.json"


def image_key(sha256: str) -> str:
    """A picture as it came, by content."""
    return f"images/{_checked(_SHA256, sha256)}"


def feature_key(input_sha256: str, model: str) -> str:
    """What a model of one version has made of an input, by content, reused by all jobs."""
    return f"features/{_checked(_SHA256, input_sha256)}/{_checked(_MODEL, model)}.npz"


def frame_key(video_sha256: str, parameters: str, index: int) -> str:
    """A frame of a video, by content; parameters: how the frames were chosen."""
    return f"frames/{_checked(_SHA256, video_sha256)}/{_checked(_MODEL, parameters)}/{index:06d}.jpg"


def keyframes_key(video_sha256: str, parameters: str) -> str:
    """Which frames of a video were chosen; it is written after the last of them."""
    return f"frames/{_checked(_SHA256, video_sha256)}/{_checked(_MODEL, parameters)}/keyframes.json"


def frame_index_key(video_sha256: str) -> str:
    """The frame index of a video, by content, shared by all jobs on it."""
    return f"frames/{_checked(_SHA256, video_sha256)}/index.npz"


def _checked(pattern: re.Pattern[str], part: str) -> str:
    if pattern.fullmatch(part) is None:
        raise ValueError(f"{part!r} cannot be part of an object key")
    return part
