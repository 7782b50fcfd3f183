"""The only place where object keys are made. A key never holds anything a user typed."""

from __future__ import annotations

import re
from typing import Final

from reelwork.events import JOB_ID_PATTERN

INPUT_PREFIX: Final = "input/"

_JOB_ID = re.compile(JOB_ID_PATTERN, re.ASCII)
_INPUT = re.compile(r"input/([A-Za-z0-9_-]{1,64})/source\.mp4")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def input_key(job_id: str) -> str:
    """The uploaded source of a job."""
    return f"{INPUT_PREFIX}{_checked(_JOB_ID, job_id)}/source.mp4"


def job_of_input(key: str) -> str | None:
    """The job whose source this is; None for any other key."""
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


def frame_index_key(video_sha256: str) -> str:
    """The frame index of a video, by content, shared by all jobs on it."""
    return f"frames/{_checked(_SHA256, video_sha256)}/index.npz"


def _checked(pattern: re.Pattern[str], part: str) -> str:
    if pattern.fullmatch(part) is None:
        raise ValueError(f"{part!r} cannot be part of an object key")
    return part
