"""`objects`: everyday objects in each frame, by a detector whose weights are pulled once (`reelwork models pull`)."""

from __future__ import annotations

from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field

from reelwork.media import Frame
from reelwork.pipelines.analyze.analyzers.base import FrameAnalyzer
from reelwork.vision.detection import Box
from reelwork.vision.detector import ObjectDetector
from reelwork.vision.models_folder import model_path

DETECTOR = "efficientdet-lite0"


class FoundObject(BaseModel):
    """One object of a frame."""

    model_config = ConfigDict(frozen=True)

    label: str = Field(description="one of 80 COCO classes")
    score: float = Field(ge=0, le=1)
    box: Box = Field(description="left, top, right, bottom as fractions of the frame's width and height")


class ObjectsResult(BaseModel):
    """Surest first; empty when nothing reached the detector's minimum score."""

    model_config = ConfigDict(frozen=True)

    objects: list[FoundObject]


class Objects(FrameAnalyzer[ObjectsResult]):
    """EfficientDet-Lite0 on each frame."""

    name = "objects"
    result = ObjectsResult
    models = (DETECTOR,)
    packages = ("ai_edge_litert",)

    @cached_property
    def _detector(self) -> ObjectDetector:
        return ObjectDetector(model_path(DETECTOR))

    def analyze(self, frame: Frame) -> ObjectsResult:
        picture = frame.small_bgr(self._detector.picture_width(frame.width, frame.height))
        found = self._detector.detect(picture)
        return ObjectsResult(objects=[FoundObject(label=one.label, score=one.score, box=one.box) for one in found])
