"""Chooses the frames of a video that are worth looking at: by shots and evenly in time, sharp, and none twice.

A video is read once, from beginning to end, holding one frame. The same file gives the same frames on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from reelwork.errors import PermanentError, UndecodableFrames
from reelwork.media import Frame, FrameIndex, MediaFile, VideoDecoder, probe_video
from reelwork.vision.measures import content_change, hsv, sharpness
from reelwork.vision.opencv import Picture, scaled_by_area

SAMPLING_VERSION: Final = "keyframes@1"
"""Part of the address of stored frames; to be changed with whatever changes which frames are chosen."""

CANDIDATES_PER_SECOND: Final = 5
INTERVAL_SECONDS: Final = 1.0
"""A shot gives one keyframe for each of these, and one for what is left."""

KEYFRAMES_PER_MINUTE_MAX: Final = 120
SHORTEST_SHOT_SECONDS: Final = 60 / KEYFRAMES_PER_MINUTE_MAX

CUT_CHANGE_MINIMUM: Final = 27.0
SHARPNESS_MINIMUM: Final = 8.0
STILL_CHANGE_MAX: Final = 4.0
"""Grey levels; a picture of which no cell has changed by more shows nothing new."""

LUMA_WIDTH: Final = 640
CONTENT_WIDTH: Final = 128
CELLS: Final = (32, 18)
PICTURE_SIDE_MAX: Final = 1920


class NoKeyframes(PermanentError):
    """A video has no frame that is worth looking at; the text says why."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A chosen frame. frame_id: unique within its video, growing. ts: seconds from the first frame.

    image: (height, width, 3), blue first, upright, its longer side at most PICTURE_SIDE_MAX pixels.
    """

    frame_id: str
    frame_index: int
    ts: float
    image: Picture


@dataclass(frozen=True, slots=True)
class _Candidate:
    """change: of the content since the candidate before. cells: mean grey levels of a coarse grid."""

    frame: Frame
    sharpness: float
    change: float
    cells: Picture


OnDamage = Callable[[UndecodableFrames], None]


def keyframes_of(
    media: MediaFile, *, index: FrameIndex | None = None, on_damage: OnDamage | None = None
) -> Iterator[Keyframe]:
    """The keyframes of a video in their order, at most KEYFRAMES_PER_MINUTE_MAX in any minute counted from its start.

    index: of the video, where it is known already. on_damage: told of frames that cannot be decoded; the rest goes on.

    A shot gives the sharpest of each second, and at least one frame unless it is shorter than SHORTEST_SHOT_SECONDS;
    blurred and empty ones are dropped. Of a picture that stands still the first and the last are kept, so that the time
    for which something was seen is known. UnreadableMedia for what is no video; NoKeyframes when nothing was worth it.
    """
    index = index or probe_video(media).index
    tally = _Tally()
    with VideoDecoder(media, index) as decoder:
        candidates = _candidates(decoder, tally, on_damage)
        for chosen in _limited(_ends_of_stills(_sharp(_best_of_each_window(candidates), tally))):
            tally.kept += 1
            yield _keyframe(chosen.frame)
    if not tally.kept:
        raise NoKeyframes(f"the video has no usable picture: {tally.reason()}")


@dataclass(slots=True)
class _Tally:
    """What became of the frames of one video."""

    seen: int = 0
    damaged: list[str] = field(default_factory=list)
    blurred: int = 0
    kept: int = 0

    def reason(self) -> str:
        if not self.seen:
            return f"{'; '.join(self.damaged[:1])}; repair or convert it first"
        return f"all {self.seen} frames looked at are blurred or empty"


def _candidates(decoder: VideoDecoder, tally: _Tally, on_damage: OnDamage | None) -> Iterator[_Candidate]:
    """Some frames of each second; from damage on, those behind the next frame at which decoding can start."""
    index = decoder.index
    step = _step(index)
    previous: Picture | None = None
    start = 0
    while start < len(index):
        try:
            for frame in decoder.frames(range(start, len(index), step)):
                content = hsv(frame.small_bgr(min(CONTENT_WIDTH, frame.width)))
                yield _measured(frame, previous, content)
                previous = content
                tally.seen += 1
                start = frame.index + step
            return
        except UndecodableFrames as error:
            tally.damaged.append(str(error))
            if on_damage is not None:
                on_damage(error)
            behind = index.keyframes[np.searchsorted(index.keyframes, start, side="right") :]
            start = -(-int(behind[0]) // step) * step if len(behind) else len(index)


def _step(index: FrameIndex) -> int:
    seconds = index.seconds(len(index) - 1)
    return max(1, round((len(index) - 1) / seconds / CANDIDATES_PER_SECOND)) if seconds else 1


def _measured(frame: Frame, previous: Picture | None, content: Picture) -> _Candidate:
    luma = frame.small_gray(min(LUMA_WIDTH, frame.width))
    comparable = previous is not None and previous.shape == content.shape
    return _Candidate(
        frame=frame,
        sharpness=sharpness(luma),
        change=content_change(previous, content) if previous is not None and comparable else np.inf,
        cells=scaled_by_area(luma, *CELLS),
    )


def _best_of_each_window(candidates: Iterable[_Candidate]) -> Iterator[_Candidate]:
    """The sharpest candidate of each window: one ends with its time, and with its shot unless it has just begun."""
    best: _Candidate | None = None
    began = 0.0
    for candidate in candidates:
        seconds = candidate.frame.seconds - began
        is_cut = candidate.change >= CUT_CHANGE_MINIMUM
        if best is not None and (seconds >= INTERVAL_SECONDS or (is_cut and seconds >= SHORTEST_SHOT_SECONDS)):
            yield best
            best = None
        if best is None:
            best, began = candidate, candidate.frame.seconds
        elif candidate.sharpness > best.sharpness:
            best = candidate
    if best is not None:
        yield best


def _sharp(chosen: Iterable[_Candidate], tally: _Tally) -> Iterator[_Candidate]:
    for candidate in chosen:
        if candidate.sharpness >= SHARPNESS_MINIMUM:
            yield candidate
        else:
            tally.blurred += 1


def _ends_of_stills(chosen: Iterable[_Candidate]) -> Iterator[_Candidate]:
    """Drop what shows nothing new, but for the last of a run of those."""
    first: _Candidate | None = None
    last: _Candidate | None = None
    for candidate in chosen:
        if first is not None and _is_still(first, candidate):
            last = candidate
            continue
        if last is not None:
            yield last
        yield candidate
        first, last = candidate, None
    if last is not None:
        yield last


def _is_still(first: _Candidate, other: _Candidate) -> bool:
    return int(np.abs(first.cells.astype(np.int16) - other.cells).max()) <= STILL_CHANGE_MAX


def _limited(chosen: Iterable[_Candidate]) -> Iterator[_Candidate]:
    """The ends of stills may bring a minute one above its limit."""
    minute, kept = 0, 0
    for candidate in chosen:
        if int(candidate.frame.seconds // 60) != minute:
            minute, kept = int(candidate.frame.seconds // 60), 0
        if kept < KEYFRAMES_PER_MINUTE_MAX:
            kept += 1
            yield candidate


def _keyframe(frame: Frame) -> Keyframe:
    longer = max(frame.width, frame.height)
    width = frame.width if longer <= PICTURE_SIDE_MAX else max(1, frame.width * PICTURE_SIDE_MAX // longer)
    upright = np.rot90(frame.small_bgr(width), k=round(frame.rotation / 90))
    return Keyframe(
        frame_id=f"{frame.index:08d}",
        frame_index=frame.index,
        ts=frame.seconds,
        image=np.ascontiguousarray(upright),
    )
