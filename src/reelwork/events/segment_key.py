"""The grammar of a segment's object key: it alone says which segment of which job it is, and what shall become of it.

Keys come from outside, with the notifications of a bucket: what does not fit exactly is no segment, and never an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

Mode = Literal["sbs", "sbs-half", "anaglyph"]
"""Side by side at full or half width, or one picture for red and cyan glasses."""

SEGMENT_PREFIX: Final = "segments/"
MODES: Final[tuple[Mode, ...]] = get_args(Mode)

_KEY = re.compile(
    rf"{SEGMENT_PREFIX}(?P<job_id>[A-Za-z0-9_-]{{1,64}})/(?P<index>[0-9]{{5}})_(?P<total>[0-9]{{5}})_(?P<mode>[a-z-]+)\.mp4"
)


@dataclass(frozen=True, slots=True)
class VideoWorkerPayload:
    """One segment to be converted. segment_index: from 0, below total_segments."""

    job_id: str
    segment_index: int
    total_segments: int
    segment_s3_uri: str
    mode: Mode


def segment_key(job_id: str, segment_index: int, total_segments: int, mode: Mode) -> str:
    """Raises ValueError for what would not be a segment's key."""
    key = f"{SEGMENT_PREFIX}{job_id}/{segment_index:05d}_{total_segments:05d}_{mode}.mp4"
    fault = segment_key_fault(key)
    if fault is not None:
        raise ValueError(fault)
    return key


def parse_segment_key(bucket: str, key: str) -> VideoWorkerPayload | None:
    """The segment that a key names, decoded already if it came URL-encoded; None for any other key."""
    if segment_key_fault(key) is not None:
        return None
    found = _KEY.fullmatch(key)
    assert found is not None
    (mode,) = (mode for mode in MODES if mode == found["mode"])
    return VideoWorkerPayload(found["job_id"], int(found["index"]), int(found["total"]), f"s3://{bucket}/{key}", mode)


def segment_key_fault(key: str) -> str | None:
    """Why a key names no segment, for a person; None when it does."""
    found = _KEY.fullmatch(key)
    if found is None:
        return f"{key!r:.200} is not like segments/JOB_ID/00000_00006_sbs.mp4"
    if found["mode"] not in MODES:
        return f"{key!r:.200} asks for mode {found['mode']!r:.40}; there are {', '.join(MODES)}"
    if int(found["index"]) >= int(found["total"]):
        return f"{key!r:.200} is segment {int(found['index'])} of {int(found['total'])}; they count from 0"
    return None
