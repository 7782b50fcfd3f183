"""Which frames of a video a job processes, and how they are cut into ranges. Pure: it never touches a file."""

from __future__ import annotations

import numpy as np

from reelwork.media.frame_index import FrameIndex


def select_frames(frame_count: int, *, frame_stride: int = 1, max_frames: int | None = None) -> range:
    """Source indices of the processed frames: every `frame_stride`-th, `max_frames` of them at most."""
    if frame_stride < 1:
        raise ValueError(f"frame_stride must be at least 1, not {frame_stride}")
    if max_frames is not None and max_frames < 1:
        raise ValueError(f"max_frames must be at least 1, not {max_frames}")
    return range(0, frame_count, frame_stride)[:max_frames]


def split_at_keyframes(
    index: FrameIndex, selected: range, *, target_frames: int, minimum_ranges: int = 1
) -> list[tuple[int, int]]:
    """Cut the selected frames into [start, stop) source ranges that begin at keyframes and weigh about the same.

    Each range holds about `target_frames` selected frames, fewer where that gives less than `minimum_ranges` ranges.
    A range begins at a keyframe, so that no frame is decoded for two ranges; with few keyframes there are few ranges.
    """
    if target_frames < 1:
        raise ValueError(f"target_frames must be at least 1, not {target_frames}")
    if minimum_ranges < 1:
        raise ValueError(f"minimum_ranges must be at least 1, not {minimum_ranges}")
    if not selected:
        return []
    parts = max(-(-len(selected) // target_frames), minimum_ranges)
    inner = index.keyframes[(index.keyframes > selected[0]) & (index.keyframes <= selected[-1])]
    ideal = selected.start + selected.step * len(selected) * np.arange(1, parts) / parts
    cuts = _nearest(inner, ideal) if len(inner) else []
    edges = [selected[0], *cuts, selected[-1] + 1]
    ranges: list[tuple[int, int]] = []
    start = edges[0]
    for stop in edges[1:]:
        if _count(selected, start, stop):
            ranges.append((start, stop))
            start = stop
    return ranges


def _nearest(keyframes: np.ndarray, ideal: np.ndarray) -> list[int]:
    after = np.clip(np.searchsorted(keyframes, ideal), 1, len(keyframes) - 1) if len(keyframes) > 1 else None
    if after is None:
        return [int(keyframes[0])]
    before = after - 1
    nearer = np.where(ideal - keyframes[before] <= keyframes[after] - ideal, before, after)
    return sorted({int(keyframe) for keyframe in keyframes[nearer]})


def _count(selected: range, start: int, stop: int) -> int:
    first = -(-(start - selected.start) // selected.step)
    last = -(-(stop - selected.start) // selected.step)
    return max(0, min(last, len(selected)) - max(first, 0))
