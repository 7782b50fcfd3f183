"""Which frames are processed, and how they are cut into ranges: pure rules, checked on arbitrary indices."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelwork.media import FrameIndex, select_frames, split_at_keyframes


def index_of(frames: int, keyframes: list[int]) -> FrameIndex:
    positions = np.array(keyframes, dtype=np.int64)
    return FrameIndex(np.arange(frames, dtype=np.int64), Fraction(1, 25), positions, positions)


class TestSelectFrames:
    @pytest.mark.parametrize(
        ("frame_count", "stride", "max_frames", "selected"),
        [
            (5, 1, None, [0, 1, 2, 3, 4]),
            (10, 3, None, [0, 3, 6, 9]),
            (10, 3, 2, [0, 3]),  # max_frames counts processed frames, not source frames
            (10, 3, 99, [0, 3, 6, 9]),
            (3, 10, None, [0]),
            (0, 1, None, []),
        ],
    )
    def test_table(self, frame_count: int, stride: int, max_frames: int | None, selected: list[int]) -> None:
        assert list(select_frames(frame_count, frame_stride=stride, max_frames=max_frames)) == selected

    @pytest.mark.parametrize("value", [0, -1])
    def test_names_the_parameter_that_is_wrong(self, value: int) -> None:
        with pytest.raises(ValueError, match="frame_stride"):
            select_frames(10, frame_stride=value)
        with pytest.raises(ValueError, match="max_frames"):
            select_frames(10, max_frames=value)


class TestSplitAtKeyframes:
    @pytest.mark.parametrize(
        ("frames", "keyframes", "selected", "target", "minimum", "ranges"),
        [
            (30, [0, 10, 20], range(30), 10, 1, [(0, 10), (10, 20), (20, 30)]),
            (30, [0, 10, 20], range(30), 100, 1, [(0, 30)]),
            (30, [0, 10, 20], range(30), 100, 2, [(0, 10), (10, 30)]),
            (30, [0], range(30), 5, 8, [(0, 30)]),  # nowhere to cut
            (30, [0, 10, 20], range(0, 30, 15), 1, 1, [(0, 10), (10, 16)]),
            (30, [0, 10, 20], range(0, 30, 29), 1, 1, [(0, 20), (20, 30)]),
            (30, [0, 10, 20], range(5), 1, 1, [(0, 5)]),  # max_frames ends before the second keyframe
            (30, [0, 10, 20], range(0), 1, 1, []),
            (1, [0], range(1), 1, 4, [(0, 1)]),
        ],
    )
    def test_table(
        self,
        frames: int,
        keyframes: list[int],
        selected: range,
        target: int,
        minimum: int,
        ranges: list[tuple[int, int]],
    ) -> None:
        index = index_of(frames, keyframes)
        assert split_at_keyframes(index, selected, target_frames=target, minimum_ranges=minimum) == ranges

    @given(
        frames=st.integers(1, 400),
        keyframes=st.sets(st.integers(1, 399), max_size=60),
        stride=st.integers(1, 50),
        max_frames=st.none() | st.integers(1, 400),
        target=st.integers(1, 100),
        minimum=st.integers(1, 12),
    )
    def test_covers_every_selected_frame_once_and_cuts_only_at_keyframes(
        self, frames: int, keyframes: set[int], stride: int, max_frames: int | None, target: int, minimum: int
    ) -> None:
        index = index_of(frames, [0, *sorted(keyframe for keyframe in keyframes if keyframe < frames)])
        selected = select_frames(frames, frame_stride=stride, max_frames=max_frames)
        ranges = split_at_keyframes(index, selected, target_frames=target, minimum_ranges=minimum)
        held = [[number for number in selected if start <= number < stop] for start, stop in ranges]
        assert [number for numbers in held for number in numbers] == list(selected)
        assert all(held)
        assert all(stop == start for (_, stop), (start, _) in pairwise(ranges))
        assert all(start in index.keyframes for start, _ in ranges)

    @given(keyframe_interval=st.integers(1, 30), target=st.integers(30, 120), minimum=st.integers(1, 8))
    def test_ranges_weigh_about_the_same(self, keyframe_interval: int, target: int, minimum: int) -> None:
        index = index_of(1000, list(range(0, 1000, keyframe_interval)))
        ranges = split_at_keyframes(index, range(1000), target_frames=target, minimum_ranges=minimum)
        sizes = [stop - start for start, stop in ranges]
        assert len(ranges) >= minimum
        assert max(sizes) - min(sizes) <= 2 * keyframe_interval

    @pytest.mark.parametrize("name", ["target_frames", "minimum_ranges"])
    def test_names_the_parameter_that_is_wrong(self, name: str) -> None:
        with pytest.raises(ValueError, match=name):
            split_at_keyframes(index_of(3, [0]), range(3), **{"target_frames": 1, name: 0})
