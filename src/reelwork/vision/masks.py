"""Says which part of a picture is its subject: U2-Net-p where it is installed, else GrabCut; people are taken out where
the object detector is installed. Every mask says how it was made, because the ways differ much in quality.

Qin et al., "U2-Net: Going Deeper with Nested U-Structure for Salient Object Detection", Pattern Recognition 2020;
Rother, Kolmogorov, Blake, "GrabCut", SIGGRAPH 2004."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from reelwork.vision.detector import ObjectDetector
from reelwork.vision.models import MODELS
from reelwork.vision.models_folder import default_models_dir, find_pinned_file
from reelwork.vision.opencv import Picture, cv2
from reelwork.vision.subjects import GrabCut, U2NetP

SALIENCY_MODEL: Final = "u2netp"
FALLBACK: Final = "grabcut"
"""The method's name begins with it where the model is not there."""
PEOPLE_MODEL: Final = "efficientdet-lite0"
CODE_REVISION: Final = 1
"""Raised whenever the same picture would give another mask."""

SUBJECT_MIN: Final = 0.01
"""A smaller share of the picture is no subject; the picture is all pattern, or all product, and so is the mask."""
LEFT_MIN: Final = 0.2
"""People are taken out only where at least this share of the subject is left; else the product is what they wear."""
MARGIN: Final = 0.015
"""Of the longer side; what makes an outline known lies on both sides of it."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ForegroundMask:
    """mask: (height, width), True is the subject. whole: nothing stood out, and the mask is the whole picture."""

    mask: Mask
    method: str
    people_removed: bool
    whole: bool


class SubjectFinder(Protocol):
    """How sure it is of each pixel, 0 to 255, in a picture of any size."""

    def likelihood(self, image: Picture) -> npt.NDArray[np.uint8]: ...


class ForegroundMasks:
    """Heavy (with U2-Net-p 0.4 s and 600 MB); make one for each process. Threads may share it.

    Which models it uses is decided once, when it is made; `method` names them and their versions."""

    def __init__(self, *, models_dir: Path | None = None) -> None:
        folder = models_dir or default_models_dir()
        saliency = find_pinned_file(MODELS[SALIENCY_MODEL], folder)
        people = find_pinned_file(MODELS[PEOPLE_MODEL], folder)
        self._finder: SubjectFinder = GrabCut() if saliency is None else U2NetP(saliency.read_bytes())
        self._detector = None if people is None else ObjectDetector(people)
        name = (FALLBACK if saliency is None else SALIENCY_MODEL) + ("" if people is None else "-people")
        used = [MODELS[one] for one, path in ((SALIENCY_MODEL, saliency), (PEOPLE_MODEL, people)) if path is not None]
        self.method = f"{name}@{'.'.join([str(CODE_REVISION), *(model.sha256[:8] for model in used)])}"

    def mask(self, image: Picture) -> Mask:
        """bool (height, width), True is the subject of a BGR picture."""
        return self.segment(image).mask

    def segment(self, image: Picture) -> ForegroundMask:
        """The mask of a BGR picture, and how it came about."""
        subject = np.asarray(self._finder.likelihood(image) > 127)
        if subject.mean() < SUBJECT_MIN:
            return ForegroundMask(np.ones(subject.shape, np.bool_), self.method, people_removed=False, whole=True)
        left = subject if self._detector is None else subject & ~_people(image, self._detector)
        people_removed = bool((subject & ~left).any() and left.sum() >= LEFT_MIN * subject.sum())
        mask = _with_margin(left if people_removed else subject)
        return ForegroundMask(mask, self.method, people_removed=people_removed, whole=False)


def _people(image: Picture, detector: ObjectDetector) -> Mask:
    """Where people are and nothing else is that the detector knows: what they hold or ride stays."""
    height, width = image.shape[:2]
    people, others = np.zeros((2, height, width), np.bool_)
    for found in detector.detect(image):
        left, top, right, bottom = found.box
        rows = slice(round(top * height), round(bottom * height))
        columns = slice(round(left * width), round(right * width))
        (people if found.label == "person" else others)[rows, columns] = True
    return np.asarray(people & ~others)


def _with_margin(mask: Mask) -> Mask:
    radius = round(MARGIN * max(mask.shape))
    if radius == 0:
        return mask
    element = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), element) > 0)
