"""Reads text in a picture: PP-OCR models through rapidocr, one thread, from verified files only.

rapidocr downloads what it does not find; naming all three files leaves it nothing to look for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reelwork.vision.detection import Detection, rounded_box
from reelwork.vision.models_folder import model_path
from reelwork.vision.opencv import Picture
from reelwork.vision.telemetry import switch_off_telemetry

TEXT_MODELS = ("ppocr-v6-detection", "ppocr-v6-recognition", "ppocr-v2-orientation")


class TextReader:
    """Heavy (about 0.5 s and 200 MB to make); make one for each process."""

    def __init__(self, *, models_dir: Path | None = None) -> None:
        detection, recognition, orientation = (str(model_path(name, models_dir)) for name in TEXT_MODELS)
        switch_off_telemetry()
        from rapidocr import RapidOCR

        self._engine = RapidOCR(
            params={
                "Global.log_level": "error",
                "Det.model_path": detection,
                "Rec.model_path": recognition,
                "Cls.model_path": orientation,
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def read(self, picture: Picture) -> list[Detection]:
        """Lines of text of a (height, width, 3) BGR picture, from top to bottom; a label is the text of a line."""
        height, width = picture.shape[:2]
        found: Any = self._engine(picture)  # a union of four outputs; this one has text
        if found.boxes is None:
            return []
        corners = np.asarray(found.boxes, dtype=np.float64) / (width, height)
        return [
            Detection(text, round(float(score), 3), rounded_box(*quad.min(axis=0), *quad.max(axis=0)))
            for text, score, quad in zip(found.txts, found.scores, corners, strict=True)
        ]
