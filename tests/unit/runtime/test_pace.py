"""A worker takes many deliveries at a time while they are done in no time, and one when each takes a while."""

from __future__ import annotations

import pytest

from reelwork.runtime.pace import GROUP_MAX, GROUP_SECONDS, GROWTH, Pace


def paced(*groups: tuple[int, float]) -> int:
    pace = Pace()
    for deliveries, seconds in groups:
        pace.learn(deliveries, seconds)
    return pace.limit


@pytest.mark.parametrize(
    ("groups", "limit"),
    [
        ([], 1),  # nobody knows the handler yet
        ([(1, 0.0001)], GROWTH),  # it grows step by step, whatever a first measure promises
        ([(1, 0.0001), (4, 0.0004)], GROWTH**2),
        ([(1, 0.0)], GROWTH),  # a clock may be too coarse to see it
        ([(1, 0.0001), (4, 0.0004), (1, 0.0001)], GROWTH**2),  # few are no measure of many
        ([(1, 10.0)], 1),
        ([(1, 0.0001), (4, 0.0004), (16, 160.0)], 1),  # one slow group is enough
        ([(1, 0.0001), (4, 0.0004), (1, 10.0)], 1),  # also where the others of it were handed back
        ([(1, 0.0001), (4, GROUP_SECONDS)], 4),  # a group is as long as it should be
        ([(1, 0.0001), (4, GROUP_SECONDS * 2)], 2),
        ([(1, 0.0001), (0, 0.0)], GROWTH),  # nothing was begun, so nothing was learnt
    ],
)
def test_a_group_holds_some_milliseconds_of_work(groups: list[tuple[int, float]], limit: int) -> None:
    assert paced(*groups) == limit


def test_it_has_an_upper_limit() -> None:
    assert paced(*[(GROWTH**power, 1e-6) for power in range(10)]) == GROUP_MAX
