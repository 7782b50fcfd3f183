from __future__ import annotations

import pytest

from reelwork.pipelines.match.matching.spans import spans_of

TABLE = [
    # never
    ([0, 1, 2], [0, 0, 0], ()),
    # to the middle between a frame that shows it and one that does not
    ([0, 1, 2, 3], [0, 1, 1, 0], ((0.5, 2.5),)),
    # the ends of the video are ends
    ([0, 1, 2], [1, 1, 1], ((0, 2),)),
    # one missed frame does not end a span, two do
    ([0, 1, 2, 3], [1, 0, 1, 0], ((0, 2.5),)),
    ([0, 1, 2, 3, 4], [1, 0, 0, 1, 1], ((0, 0.5), (2.5, 4))),
    # far neighbours say little about the time between
    ([0, 60, 120], [0, 1, 0], ((58, 62),)),
    ([5], [1], ((3, 5),)),
    ([], [], ()),
]


@pytest.mark.parametrize(("times", "seen", "spans"), TABLE)
def test_spans(times: list[float], seen: list[bool], spans: tuple[tuple[float, float], ...]) -> None:
    assert spans_of(times, seen) == spans


# (times, seen, how long the video is, spans)
@pytest.mark.parametrize(
    ("times", "seen", "seconds", "spans"),
    [
        # the last frame that shows it is no end, where nothing says that it went
        ([0, 1, 2], [0, 1, 1], 2.8, ((0.5, 2.8),)),
        # nor is the first
        ([0.4, 1, 2], [1, 1, 0], 2.8, ((0, 1.5),)),
        # but long after the last frame nobody knows
        ([0, 1], [0, 1], 60, ((0.5, 3),)),
        ([30, 31], [1, 0], 60, ((28, 30.5),)),
        # a container that says too little
        ([0, 1], [0, 1], 0.5, ((0.5, 1),)),
    ],
)
def test_the_ends_of_the_video(
    times: list[float], seen: list[bool], seconds: float, spans: tuple[tuple[float, float], ...]
) -> None:
    assert spans_of(times, seen, seconds) == spans
