"""From single frames in which a product was seen to the times during which it was there."""

from __future__ import annotations

from collections.abc import Sequence

from reelwork.pipelines.match.matching.match import Span

MISSED_FRAMES_MAX = 1
"""So many frames in a row without the product do not end a span: a blurred one, a hand before it."""
REACH_SECONDS_MAX = 2.0
"""A span reaches half way to the neighbouring frames that do not show the product, or to an end of the video where
there is none; and no farther than this.
"""


def spans_of(times: Sequence[float], seen: Sequence[bool], seconds: float | None = None) -> tuple[Span, ...]:
    """Times of a video's frames in order, which of them show the product, and how long the video is; None = unknown."""
    runs: list[list[int]] = []
    for index in (index for index, shown in enumerate(seen) if shown):
        if runs and index - runs[-1][1] - 1 <= MISSED_FRAMES_MAX:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    spans = []
    for first, last in runs:
        start = times[first] - (_half_way(times, first, first - 1) if first > 0 else _reach(times[first]))
        end = times[last]
        if last + 1 < len(times):
            end += _half_way(times, last, last + 1)
        elif seconds is not None:
            end += _reach(seconds - times[last])
        spans.append((round(start, 3), round(end, 3)))
    return tuple(spans)


def _half_way(times: Sequence[float], index: int, neighbour: int) -> float:
    return _reach(abs(times[neighbour] - times[index]) / 2)


def _reach(seconds: float) -> float:
    return min(max(seconds, 0.0), REACH_SECONDS_MAX)
