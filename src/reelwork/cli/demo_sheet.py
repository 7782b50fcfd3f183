"""The demo's picture: one contact sheet of a video, with what was found in it drawn into its frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reelwork.cli.chosen_frames import choose_frames
from reelwork.cli.summary import Shot
from reelwork.media import FrameIndex, decode_frames
from reelwork.vision.contact_sheet import Tile, write_contact_sheet
from reelwork.vision.detection import Detection


def write_sheet(
    path: Path,
    video: Path,
    index: FrameIndex,
    frames: Sequence[Mapping[str, Any]],
    shots: Sequence[Shot],
    *,
    title: str,
    subtitle: str,
) -> None:
    """frames: results of `shots+objects`."""
    tiles = [_tile(video, index, shot, frame) for shot, frame in choose_frames(frames, shots)]
    write_contact_sheet(path, tiles, title=title, subtitle=subtitle)


def _tile(video: Path, index: FrameIndex, shot: Shot, frame: Mapping[str, Any]) -> Tile:
    number = frame["frame_index"]
    (decoded,) = decode_frames(video, index, range(number, number + 1))
    found = [Detection(one["label"], one["score"], tuple(one["box"])) for one in frame["result"]["objects"]["objects"]]
    return Tile(decoded.bgr.copy(), index.seconds(number), f"shot {shot.number + 1}{_told(found)}", found)


def _told(found: Sequence[Detection]) -> str:
    """`: 2 x car, person`"""
    counts = Counter(detection.label for detection in found)
    words = [label if count == 1 else f"{count} x {label}" for label, count in counts.most_common()]
    return f" · {', '.join(words)}" if words else ""
