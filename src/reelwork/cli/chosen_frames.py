"""Which frames stand for a video on its contact sheet: some of each shot, those with most to see in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from reelwork.cli.summary import Shot

TILES_WANTED: Final = 12
TILES_MAX: Final = 24

Frame = Mapping[str, Any]


def choose_frames(frames: Sequence[Frame], shots: Sequence[Shot]) -> list[tuple[Shot, Frame]]:
    """In the video's order: at least one frame of every shot, more of longer ones; of `TILES_MAX` shots at most."""
    if len(shots) > TILES_MAX:
        shots = [shots[number * len(shots) // TILES_MAX] for number in range(TILES_MAX)]
    chosen = []
    for shot in shots:
        inside = [frame for frame in frames if shot.start <= frame["frame_index"] <= shot.end]
        parts = _parts(inside, _share(len(inside), len(frames), len(shots)))
        chosen += [(shot, max(_middle(part), key=_much_to_see)) for part in parts]
    return chosen


def _share(frames_of_shot: int, frames_in_all: int, shots: int) -> int:
    return 1 if shots >= TILES_WANTED else max(1, round(TILES_WANTED * frames_of_shot / frames_in_all))


def _parts(frames: Sequence[Frame], count: int) -> list[Sequence[Frame]]:
    bounds = [len(frames) * number // count for number in range(count + 1)]
    return [frames[start:stop] for start, stop in pairwise(bounds) if stop > start]


def _middle(part: Sequence[Frame]) -> Sequence[Frame]:
    """Its middle half: away from cuts, which may shine through, and from the frames of the next part."""
    return part[len(part) // 4 : len(part) - len(part) // 4]


def _much_to_see(frame: Frame) -> float:
    """The sum of all scores prefers many objects, and sure ones."""
    return float(sum(found["score"] for found in frame["result"].get("objects", {}).get("objects", ())))
