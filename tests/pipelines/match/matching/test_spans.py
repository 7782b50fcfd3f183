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
    ([5], [1], ((5, 5),)),
    ([], [], ()),
]


@pytest.mark.parametrize(("times", "seen", "spans"), TABLE)
def test_spans(times: list[float], seen: list[bool], spans: tuple[tuple[float, float], ...]) -> None:
    assert spans_of(times, seen) == spans
