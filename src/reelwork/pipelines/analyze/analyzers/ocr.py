"""`ocr`: the text in each frame. By far the slowest analyzer: use a large `frame_stride`."""

from __future__ import annotations

from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field

from reelwork.media import Frame
from reelwork.pipelines.analyze.analyzers.base import FrameAnalyzer
from reelwork.vision.detection import Box
from reelwork.vision.text_reader import TEXT_MODELS, TextReader

PICTURE_SIDE_MAX = 1280


class TextLine(BaseModel):
    """One line of text of a frame."""

    model_config = ConfigDict(frozen=True)

    text: str
    score: float = Field(ge=0, le=1)
    box: Box = Field(description="left, top, right, bottom as fractions of the frame's width and height")


class OcrResult(BaseModel):
    """From top to bottom; empty when there is no text."""

    model_config = ConfigDict(frozen=True)

    lines: list[TextLine]


class Ocr(FrameAnalyzer[OcrResult]):
    """PP-OCR v6 on each frame, its longer side scaled to at most 1280 pixels."""

    name = "ocr"
    result = OcrResult
    models = TEXT_MODELS
    packages = ("rapidocr", "onnxruntime")

    @cached_property
    def _reader(self) -> TextReader:
        return TextReader()

    def analyze(self, frame: Frame) -> OcrResult:
        longer_side = max(frame.width, frame.height)
        width = max(1, frame.width * min(longer_side, PICTURE_SIDE_MAX) // longer_side)
        found = self._reader.read(frame.small_bgr(width))
        return OcrResult(lines=[TextLine(text=one.label, score=one.score, box=one.box) for one in found])
