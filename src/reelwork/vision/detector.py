"""Finds everyday objects in a picture: EfficientDet-Lite0 on LiteRT, one thread, the same bits on every run.

Tan, Pang, Le, "EfficientDet: Scalable and Efficient Object Detection", CVPR 2020. The graph ends in its own non-maximum
suppression, so what comes out is final. The 80 COCO class names lie inside the weights' file."""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reelwork.vision.detection import Detection, rounded_box
from reelwork.vision.native_log import native_chatter_removed
from reelwork.vision.opencv import Picture, scaled_by_area

SCORE_MINIMUM = 0.4
PADDING = 127
"""The model subtracts this value from every pixel, so padding is nothing to it; black costs objects their score."""


class ObjectDetector:
    """Not cheap to make (0.05 s); make one for each process. Calls from several threads wait for one another."""

    def __init__(self, weights: Path, *, score_minimum: float = SCORE_MINIMUM) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._score_minimum = score_minimum
        self._labels = _labels_inside(weights)
        with native_chatter_removed():
            self._interpreter = Interpreter(model_path=str(weights), num_threads=1)
            self._interpreter.allocate_tensors()
        (model_input,) = self._interpreter.get_input_details()
        # In the graph's order: boxes, classes, scores, count.
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]
        self._input = model_input["index"]
        self.input_side = int(model_input["shape"][1])
        self._lock = threading.Lock()

    def picture_width(self, width: int, height: int) -> int:
        """The width at which a picture of this shape just fits the model's input."""
        return max(1, min(self.input_side, self.input_side * width // height))

    def detect(self, picture: Picture) -> list[Detection]:
        """Objects of a (height, width, 3) BGR picture of any size, surest first."""
        height, width = picture.shape[:2]
        fitting_width = self.picture_width(width, height)
        fitting_height = max(1, min(self.input_side, round(height * fitting_width / width)))
        if (width, height) != (fitting_width, fitting_height):
            picture = scaled_by_area(picture, fitting_width, fitting_height)
        boxes, classes, scores = self._infer(picture)
        # Boxes are fractions of the padded square; the picture lies in its upper left corner.
        to_picture = np.array([self.input_side / fitting_height, self.input_side / fitting_width] * 2)
        return [
            Detection(self._labels[int(label)], round(float(score), 3), rounded_box(left, top, right, bottom))
            for (top, left, bottom, right), label, score in zip(boxes * to_picture, classes, scores, strict=True)
            if score >= self._score_minimum
        ]

    def _infer(self, picture: Picture) -> tuple[npt.NDArray[np.float32], ...]:
        height, width = picture.shape[:2]
        padded = np.full((1, self.input_side, self.input_side, 3), PADDING, np.uint8)
        padded[0, :height, :width] = picture[:, :, ::-1]
        with self._lock:
            self._interpreter.set_tensor(self._input, padded)
            self._interpreter.invoke()
            boxes, classes, scores = (self._interpreter.get_tensor(index)[0] for index in self._outputs[:3])
        return boxes, classes, scores


def _labels_inside(weights: Path) -> list[str]:
    """TFLite metadata appends its label file to the model as a zip archive."""
    with zipfile.ZipFile(weights) as metadata:
        return metadata.read("labelmap.txt").decode().splitlines()
