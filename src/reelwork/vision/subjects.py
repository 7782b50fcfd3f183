"""Two ways of finding the subject of a picture: a trained network, and a cut between the colours of the middle and of
the border, which needs no weights."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from reelwork.vision.onnx_session import open_session
from reelwork.vision.opencv import Picture, cv2, scaled_by_area

Likelihood = npt.NDArray[np.uint8]


class U2NetP:
    """Salient objects, by a network of 1.1 million weights; half a second of one core for a picture of any size."""

    INPUT_SIDE: Final = 320
    MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
    STD: Final = np.array([0.229, 0.224, 0.225], np.float32)

    def __init__(self, onnx_model: bytes) -> None:
        self._session = open_session(onnx_model, "u2netp")
        self._input = self._session.get_inputs()[0].name
        self._fused = self._session.get_outputs()[0].name  # the others are the same at coarser scales

    def likelihood(self, image: Picture) -> Likelihood:
        """Per pixel of a BGR picture, 0 to 255, on the network's own scale: all is low where nothing stands out."""
        height, width = image.shape[:2]
        square = cv2.resize(image, (self.INPUT_SIDE, self.INPUT_SIDE), interpolation=cv2.INTER_AREA)
        rgb = square[:, :, ::-1].astype(np.float32) / max(int(square.max()), 1)
        given = np.ascontiguousarray(((rgb - self.MEAN) / self.STD).transpose(2, 0, 1)[None])
        (found,) = self._session.run([self._fused], {self._input: given})
        coarse = np.rint(np.asarray(found)[0, 0] * 255).astype(np.uint8)
        return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


class GrabCut:
    """Takes the outermost frame of the picture for background; good for products on a plain ground, poor elsewhere."""

    SIDE_MAX: Final = 320
    SIDE_MIN: Final = 24
    """A smaller picture is not cut."""
    FRAME: Final = 0.04
    ROUNDS: Final = 4

    def likelihood(self, image: Picture) -> Likelihood:
        """Of each pixel of a BGR picture: 0 or 255, with a slope between them where the picture was scaled."""
        height, width = image.shape[:2]
        scale = min(1.0, self.SIDE_MAX / max(height, width))
        small_width, small_height = max(1, round(width * scale)), max(1, round(height * scale))
        if min(small_width, small_height) < self.SIDE_MIN:
            return np.zeros((height, width), np.uint8)
        small = image if scale == 1 else scaled_by_area(image, small_width, small_height)
        frame = max(2, round(self.FRAME * max(small_width, small_height)))
        inner = (frame, frame, small_width - 2 * frame, small_height - 2 * frame)
        labels = np.zeros((small_height, small_width), np.uint8)
        cv2.setRNGSeed(0)  # its first guess is drawn by chance
        cv2.grabCut(small, labels, inner, np.zeros((1, 65)), np.zeros((1, 65)), self.ROUNDS, cv2.GC_INIT_WITH_RECT)
        subject = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
        return np.asarray(cv2.resize(subject, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
