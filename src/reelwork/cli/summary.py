"""What a person wants to know of the results of a video first: its shots, what was seen in it, how it looks.

Results are read one frame at a time, in constant memory.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reelwork.media import FrameIndex


@dataclass(slots=True, kw_only=True)
class Shot:
    """Processed frames from `start` to `end`, both of it; seconds from the first frame of the video."""

    number: int
    start: int
    end: int
    start_seconds: float
    end_seconds: float
    labels: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True, kw_only=True)
class SeenObject:
    """A label: in how many frames it was seen, how many at most in one of them, when first, and how sure at best."""

    label: str
    frames: int
    together_max: int
    first_seconds: float
    score_max: float


@dataclass(slots=True)
class Summary:
    """frames: with results. measures: mean of every number that an analyzer gave, by `analyzer.field`."""

    frames: int = 0
    shots: list[Shot] = field(default_factory=list)
    objects: dict[str, SeenObject] = field(default_factory=dict)
    measures: dict[str, Mean] = field(default_factory=dict)


@dataclass(slots=True)
class Mean:
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1

    @property
    def value(self) -> float:
        return self.total / self.count


def read_results(path: Path) -> Iterator[dict[str, Any]]:
    """Frames of a results file as the merger writes it: an array with one item a line."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            item = line.strip().removesuffix(",")
            if item.startswith("{"):
                yield json.loads(item)


def summarize(results: Path, index: FrameIndex) -> Summary:
    """Of a results file and the times of its video's frames."""
    summary = Summary()
    for frame in read_results(results):
        seconds = index.seconds(frame["frame_index"])
        summary.frames += 1
        labels = Counter(found["label"] for found in frame["result"].get("objects", {}).get("objects", ()))
        if "shots" in frame["result"]:
            _add_to_shots(summary.shots, frame, seconds, labels)
        _add_objects(summary.objects, frame["result"].get("objects", {}).get("objects", ()), labels, seconds)
        _add_measures(summary.measures, frame["result"])
    return summary


def _add_to_shots(shots: list[Shot], frame: dict[str, Any], seconds: float, labels: Counter[str]) -> None:
    number, frame_index = frame["result"]["shots"]["shot"], frame["frame_index"]
    if not shots or shots[-1].number != number:
        shots.append(
            Shot(number=number, start=frame_index, end=frame_index, start_seconds=seconds, end_seconds=seconds)
        )
    shot = shots[-1]
    shot.end, shot.end_seconds = frame_index, seconds
    shot.labels.update(labels.keys())


def _add_objects(
    seen: dict[str, SeenObject], found: list[dict[str, Any]], labels: Counter[str], seconds: float
) -> None:
    for label, together in labels.items():
        score = max(one["score"] for one in found if one["label"] == label)
        known = seen.setdefault(
            label, SeenObject(label=label, frames=0, together_max=0, first_seconds=seconds, score_max=0.0)
        )
        known.frames += 1
        known.together_max = max(known.together_max, together)
        known.score_max = max(known.score_max, score)


def _add_measures(measures: dict[str, Mean], result: dict[str, Any]) -> None:
    for analyzer, fields in result.items():
        if analyzer == "shots":
            continue
        for name, value in fields.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                measures.setdefault(f"{analyzer}.{name}", Mean()).add(value)
