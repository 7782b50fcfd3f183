"""`shots`: where a video cuts, exactly as PySceneDetect's ContentDetector finds it, however the file was split.

The score of a frame needs only the frame before; which scores are cuts needs their order. So ranges give scores, and
the timeline runs PySceneDetect's own filter over them once they are joined."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from reelwork.media import Frame
from reelwork.pipelines.analyze.analyzers.base import Observation, SequenceAnalyzer, comparable
from reelwork.vision.measures import content_change, hsv
from reelwork.vision.opencv import cv2

CUT_SCORE_MINIMUM = 27.0
SHOT_FRAMES_MINIMUM = 15
PICTURE_SIDE = 256


class ShotMeasure(BaseModel):
    """Unrounded: it is compared with a threshold later."""

    model_config = ConfigDict(frozen=True)

    score: float | None


class ShotResult(BaseModel):
    """`score` is None where there is no frame to compare with."""

    model_config = ConfigDict(frozen=True)

    shot: int = Field(ge=0, description="which shot the frame belongs to, counted from 0")
    is_cut: bool = Field(description="whether the frame begins a new shot")
    score: float | None = Field(description="mean change of hue, saturation and value; 27 and more can be a cut")


class Shots(SequenceAnalyzer[ShotMeasure, ShotResult]):
    """Shot boundaries by content, with PySceneDetect's defaults: threshold 27, shots of at least 15 source frames."""

    name = "shots"
    result = ShotResult
    measure = ShotMeasure
    packages = ("scenedetect",)

    def observe(self, frame: Frame) -> Observation:
        """A small picture in hue, saturation, value; scaled as PySceneDetect scales, or scores would differ."""
        picture = frame.bgr
        factor = max(frame.width, frame.height) / PICTURE_SIDE
        if factor > 1:
            size = (max(1, round(frame.width / factor)), max(1, round(frame.height / factor)))
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        return hsv(picture)

    def compare(self, previous: Observation | None, current: Observation) -> ShotMeasure:
        if previous is None or not comparable(previous, current):
            return ShotMeasure(score=None)
        return ShotMeasure(score=content_change(previous, current))

    def timeline(self, measures: Iterator[tuple[int, ShotMeasure]]) -> Iterator[ShotResult]:
        """Several cuts in quick succession count as one, at the last of them. Whether a frame is that last one is known
        15 frames later at the latest, so that many frames are held back."""
        from scenedetect.common import FrameTimecode
        from scenedetect.detector import FlashFilter

        flash_filter = FlashFilter(FlashFilter.Mode.MERGE, SHOT_FRAMES_MINIMUM)
        held: deque[tuple[int, ShotMeasure]] = deque()
        cuts: set[int] = set()
        shot = 0

        def release() -> ShotResult:
            nonlocal shot
            frame_index, measure = held.popleft()
            is_cut = frame_index in cuts
            cuts.discard(frame_index)
            shot += is_cut
            score = None if measure.score is None else round(measure.score, 3)
            return ShotResult(shot=shot, is_cut=is_cut, score=score)

        for frame_index, measure in measures:
            above_threshold = measure.score is not None and measure.score >= CUT_SCORE_MINIMUM
            # Frames are counted, not timed: at one frame a second both are the same number.
            position = FrameTimecode(frame_index, 1.0)
            cuts.update(cut.frame_num for cut in flash_filter.filter(position, above_threshold))
            held.append((frame_index, measure))
            while frame_index - held[0][0] >= SHOT_FRAMES_MINIMUM:
                yield release()
        while held:
            yield release()
