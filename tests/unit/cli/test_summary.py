"""The summary tells of every shot, object and measure what its results say."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from reelwork.cli.chosen_frames import TILES_MAX, choose_frames
from reelwork.cli.summary import Shot, read_results, summarize
from reelwork.media import FrameIndex
from reelwork.pipelines.analyze.merger import write_json_array

INDEX = FrameIndex(np.arange(100), Fraction(1, 25), np.array([0]), np.array([0]))


def frame(number: int, *labels: str, shot: int = 0, brightness: float = 0.0) -> dict[str, Any]:
    found = [{"label": label, "score": 0.5 + place / 10, "box": [0, 0, 1, 1]} for place, label in enumerate(labels)]
    result = {
        "shots": {"shot": shot, "is_cut": False, "score": None},
        "objects": {"objects": found},
        "quality": {"brightness": brightness, "perceptual_hash": "00"},
    }
    return {"frame_index": number, "result": result}


def written(path: Path, frames: list[dict[str, Any]]) -> Path:
    buffer = io.BytesIO()
    write_json_array(iter(frames), buffer)
    path.write_bytes(buffer.getvalue())
    return path


def shot(number: int, start: int, end: int) -> Shot:
    return Shot(number=number, start=start, end=end, start_seconds=start / 25, end_seconds=end / 25)


def test_frames_are_read_as_they_were_written(tmp_path: Path) -> None:
    frames = [frame(0), frame(5, "car"), frame(10)]
    assert list(read_results(written(tmp_path / "results.json", frames))) == frames
    assert list(read_results(written(tmp_path / "none.json", []))) == []


def test_shots_objects_and_measures(tmp_path: Path) -> None:
    frames = [
        frame(0, "car", brightness=10),
        frame(25, "car", "car", "dog", brightness=20),
        frame(50, "dog", shot=1, brightness=60),
    ]
    summary = summarize(written(tmp_path / "results.json", frames), INDEX)
    assert summary.frames == 3
    assert [(one.start_seconds, one.end_seconds) for one in summary.shots] == [(0.0, 1.0), (2.0, 2.0)]
    assert [dict(one.labels) for one in summary.shots] == [{"car": 2, "dog": 1}, {"dog": 1}]
    car, dog = summary.objects["car"], summary.objects["dog"]
    assert (car.frames, car.together_max, car.first_seconds, car.score_max) == (2, 2, 0.0, 0.6)
    assert (dog.frames, dog.first_seconds) == (2, 1.0)
    assert {name: mean.value for name, mean in summary.measures.items()} == {"quality.brightness": 30.0}


def test_results_of_other_analyzers_have_their_frames_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "results.json", [{"frame_index": 0, "result": {"own": {"words": ["a"], "sure": True}}}])
    summary = summarize(path, INDEX)
    assert (summary.frames, summary.shots, summary.objects, summary.measures) == (1, [], {}, {})


class TestChosenFrames:
    def test_every_shot_has_one_and_longer_ones_have_more(self) -> None:
        frames = [frame(number) for number in range(100)]
        chosen = choose_frames(frames, [shot(0, 0, 88), shot(1, 89, 99)])
        numbers = [one["frame_index"] for _, one in chosen]
        assert numbers == sorted(numbers)
        assert [one.number for one, _ in chosen].count(0) == 11
        assert [one.number for one, _ in chosen].count(1) == 1

    def test_the_frame_with_most_to_see_stands_for_its_part_but_none_next_to_a_cut(self) -> None:
        frames = [frame(number, *["car"] * {4: 1, 12: 1, 13: 2, 16: 5}.get(number, 0)) for number in range(96)]
        chosen = [one["frame_index"] for _, one in choose_frames(frames, [shot(0, 0, 95)])]
        assert chosen[:3] == [4, 13, 18]

    def test_a_shot_of_one_frame_is_shown(self) -> None:
        assert [one["frame_index"] for _, one in choose_frames([frame(0)], [shot(0, 0, 0)])] == [0]

    def test_the_sheet_stays_a_sheet(self) -> None:
        frames = [frame(number) for number in range(100)]
        chosen = choose_frames(frames, [shot(number, number, number) for number in range(100)])
        assert len(chosen) == TILES_MAX
