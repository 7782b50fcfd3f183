"""However a file is split into ranges, and whichever way those travel, the results are those of one run over it."""

from __future__ import annotations

from bisect import bisect_left
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelwork.errors import ContractViolation, UnknownAnalyzer
from reelwork.media import FrameIndex, VideoDecoder, build_frame_index, select_frames
from reelwork.pipelines.analyze import VideoFilePipelineService
from reelwork.pipelines.analyze.analyzers import load_analyzers
from reelwork.pipelines.analyze.ranges import RangeResults, analyze_range, merge_ranges

PIPELINE = "shots+quality+motion"
FRAMES = 178
Results = list[dict[str, Any]]


@cache
def indexed(clip: Path) -> FrameIndex:
    return build_frame_index(clip)


@cache
def whole_run(clip: Path, frame_stride: int, max_frames: int | None) -> Results:
    return VideoFilePipelineService().run_on_file(clip, PIPELINE, frame_stride, max_frames)


def analyzed(clip: Path, selected: range, cuts: list[int]) -> list[RangeResults]:
    """Each range by analyzers of its own, stored and read again, as by workers on other machines."""
    edges = [0, *cuts, len(indexed(clip))]
    ranges = []
    for start, stop in pairwise(edges):
        wanted = selected[bisect_left(selected, start) : bisect_left(selected, stop)]
        result = analyze_range(VideoDecoder(clip, indexed(clip)), wanted, load_analyzers(PIPELINE))
        ranges.append(RangeResults.from_bytes(result.to_bytes()))
    return ranges


def merged(ranges: list[RangeResults]) -> Results:
    return list(merge_ranges(ranges, load_analyzers(PIPELINE)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, FRAMES - 1), max_size=12, unique=True).map(sorted),
    frame_stride=st.sampled_from([1, 1, 2, 7, 40]),
    max_frames=st.sampled_from([None, None, 1, 9, 90]),
)
def test_any_split_gives_the_results_of_the_whole(
    scenes: Path, cuts: list[int], frame_stride: int, max_frames: int | None
) -> None:
    selected = select_frames(FRAMES, frame_stride=frame_stride, max_frames=max_frames)
    assert merged(analyzed(scenes, selected, cuts)) == whole_run(scenes, frame_stride, max_frames)


def test_objects_too(bikes: Path, detector_weights: Path) -> None:  # noqa: ARG001
    index = indexed(bikes)
    wanted = select_frames(len(index), frame_stride=25)
    analyzers = load_analyzers("objects+motion")
    ranges = [
        analyze_range(VideoDecoder(bikes, index), wanted[part], load_analyzers("objects+motion")) for part in HALVES
    ]
    assert list(merge_ranges(ranges, analyzers)) == VideoFilePipelineService().run_on_file(bikes, "objects+motion", 25)


HALVES = (slice(None, 5), slice(5, None))


class TestALostRange:
    def test_frames_of_the_others_keep_their_results(self, scenes: Path) -> None:
        first, _, last = analyzed(scenes, range(FRAMES), [60, 120])
        expected = whole_run(scenes, 1, None)
        found = merged([first, last])
        assert [one["frame_index"] for one in found] == [*range(60), *range(120, FRAMES)]
        assert [one["result"]["quality"] for one in found] == [
            one["result"]["quality"] for one in expected[:60] + expected[120:]
        ]
        assert [one["result"]["motion"] for one in found[61:]] == [one["result"]["motion"] for one in expected[121:]]

    def test_the_frame_after_the_gap_is_compared_with_nothing(self, scenes: Path) -> None:
        first, _, last = analyzed(scenes, range(FRAMES), [60, 120])
        after_gap = merged([first, last])[60]["result"]
        assert after_gap["motion"] == {"mean_change": None, "temporal_information": None}
        assert after_gap["shots"]["score"] is None

    def test_nothing_at_all_gives_nothing(self) -> None:
        assert merged([]) == []


class TestStoredRanges:
    def test_the_same_results_give_the_same_bytes(self, scenes: Path) -> None:
        once, again = (
            analyze_range(VideoDecoder(scenes, indexed(scenes)), range(40, 50), load_analyzers(PIPELINE)).to_bytes()
            for _ in "ab"
        )
        assert once == again

    @pytest.mark.parametrize("damage", [b"", b"not a zip file", b"cut"])
    def test_damaged_bytes_are_refused(self, scenes: Path, damage: bytes) -> None:
        data = analyze_range(VideoDecoder(scenes, indexed(scenes)), range(5), load_analyzers(PIPELINE)).to_bytes()
        with pytest.raises(ContractViolation, match="process the range again"):
            RangeResults.from_bytes(data[: len(data) // 2] if damage == b"cut" else damage)


def test_merging_reads_ranges_one_by_one(scenes: Path) -> None:
    """Constant memory: at most one range is read ahead of the results that are still wanted."""
    read = 0
    parts = analyzed(scenes, range(FRAMES), list(range(30, FRAMES, 30)))

    def counted() -> Any:
        nonlocal read
        for part in parts:
            read += 1
            yield part

    for one in merge_ranges(counted(), load_analyzers(PIPELINE)):
        assert read <= one["frame_index"] // 30 + 2


class TestRunOnFile:
    @pytest.mark.parametrize(("frame_stride", "max_frames"), [(0, None), (-1, None), (1, 0)])
    def test_numbers_below_one_are_refused(self, scenes: Path, frame_stride: int, max_frames: int | None) -> None:
        with pytest.raises(ValueError, match="must be at least 1"):
            VideoFilePipelineService().run_on_file(scenes, "motion", frame_stride, max_frames)

    def test_an_unknown_analyzer_is_refused_before_the_file_is_read(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownAnalyzer):
            VideoFilePipelineService().run_on_file(tmp_path / "absent.mp4", "faces")

    def test_a_stride_and_a_maximum_choose_source_frames(self, scenes: Path) -> None:
        found = VideoFilePipelineService().run_on_file(str(scenes), "motion", frame_stride=50, max_frames=3)
        assert [one["frame_index"] for one in found] == [0, 50, 100]
