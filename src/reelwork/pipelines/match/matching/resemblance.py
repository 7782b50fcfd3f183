"""Whether the frame, where the product must lie, shows the product's picture: pixel by pixel, in colour.

A pose that a few faint keypoints suggest is an accident or not, and thousands of pixels know which. The frame is warped
into a small form of the picture, moved a little so that the two fit best (Evangelidis, Psarakis, "Parametric image
alignment using enhanced correlation coefficient maximization", PAMI 2008), and compared as a whole and in parts; light
and contrast do not count, and hidden parts cost only themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reelwork.pipelines.match.matching.plane import Matrix
from reelwork.vision.opencv import Picture, cv2

VERSION = 1
"""Raised whenever the same picture would give another template."""
SIDE = 112
"""Longest side of a template, pixels: a product far away shows no more."""
SIDE_MIN = 8
COVERED_MIN = 200
"""So many pixels of a template have to lie inside the frame."""
SMOOTHING_PIXELS = 1.2
SHARE_MIN = 0.8
"""Of a template's pixel, how much has to be product."""
ALIGNMENT_STEPS = 15
ALIGNMENT_CHANGE_MIN = 1e-3
MOVED_PIXELS_MAX = 12.0
BENT_MAX = 0.25
"""Alignments that move by more, or turn, shear or scale by more, have gone astray and are not used."""
PARTS = 5
"""Along each side."""
PART_PIXELS_MIN = 40
PART_CONTRAST_MIN, PART_CONTRAST_MAX = 2.0, 15.0
"""Grey levels: plainer parts say nothing; above, more contrast does not count for more."""
PART_ALIKE_MIN = 0.6
EDGE_FLOOR = 30.0
"""Of the product of two gradients (Scharr): weaker ones count for less."""
EDGE_CAP = 0.9
"""Quantile of the template's gradients above which a stronger one does not count for more."""

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Template:
    """A product's picture made small. lab: float32 (h, w, 3), smoothed; mask: True where the product is."""

    lab: Floats
    mask: Mask
    factor: float
    """Pixels of the template for one of the picture."""

    @classmethod
    def of(cls, picture: Picture, mask: Mask) -> Template:
        """picture: BGR; mask: (height, width) of it."""
        height, width = picture.shape[:2]
        factor = SIDE / max(height, width)
        size = (max(SIDE_MIN, round(width * factor)), max(SIDE_MIN, round(height * factor)))
        small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return cls(_lab(small), np.asarray(share >= SHARE_MIN), factor)


@dataclass(frozen=True)
class Resemblance:
    """Correlations between template and frame, each -1..1 but for `alike`; 0 is what chance gives."""

    colour: float
    """Of the two numbers for colour, over the whole product."""
    edges: float
    """Mean cosine between the directions of edges, by the strength of the template's."""
    parts: float
    """Of lightness, mean over the parts with contrast."""
    alike: float
    """0..1: of these parts, how many correlate well."""


NOTHING = Resemblance(0.0, 0.0, 0.0, 0.0)


def resemblance(template: Template, frame: Picture, homography: Matrix) -> Resemblance:
    """homography: 3 x 3, from the template's picture to the frame (BGR), pixels. NOTHING for one outside the frame."""
    matrix = homography @ np.diag([1 / template.factor, 1 / template.factor, 1])
    height, width = template.mask.shape
    back = cv2.WARP_INVERSE_MAP
    seen = cv2.warpPerspective(frame, matrix, (width, height), flags=cv2.INTER_LINEAR | back)
    whole = np.full(frame.shape[:2], 255, np.uint8)
    inside = cv2.warpPerspective(whole, matrix, (width, height), flags=cv2.INTER_NEAREST | back) > 0
    mask = np.asarray(template.mask & inside)
    if mask.sum() < COVERED_MIN:
        return NOTHING
    shown = _aligned(template.lab, _lab(np.asarray(seen, np.uint8)), mask)
    parts, alike = _by_parts(template.lab[..., 0], shown[..., 0], mask)
    colour = _correlation(_colours(template.lab, mask), _colours(shown, mask))
    return Resemblance(colour, _edges(template.lab[..., 0], shown[..., 0], mask), parts, alike)


def _lab(picture: Picture) -> Floats:
    lab = cv2.cvtColor(picture, cv2.COLOR_BGR2LAB).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(lab, (0, 0), SMOOTHING_PIXELS), np.float32)


def _aligned(wanted: Floats, shown: Floats, mask: Mask) -> Floats:
    still = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, ALIGNMENT_STEPS, ALIGNMENT_CHANGE_MIN)
    given = (wanted[..., 0].copy(), shown[..., 0].copy(), still.copy(), cv2.MOTION_AFFINE, criteria)
    try:
        _, moved = cv2.findTransformECC(*given, mask.astype(np.uint8) * 255, 1)
    except cv2.error:  # it says so when the two have nothing in common
        return shown
    change = np.abs(moved - still)
    if not np.isfinite(moved).all() or change[:, 2].max() > MOVED_PIXELS_MAX or change[:, :2].max() > BENT_MAX:
        return shown
    height, width = mask.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(shown, moved, (width, height), flags=flags), np.float32)


def _colours(lab: Floats, mask: Mask) -> Floats:
    """Both numbers for colour of every pixel, each less its mean: the light may have another colour."""
    colours = lab[mask][:, 1:]
    return np.asarray((colours - colours.mean(axis=0)).reshape(-1), np.float32)


def _correlation(one: Floats, other: Floats) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / np.sqrt(np.square(one).sum() * np.square(other).sum() + 1e-6))


def _edges(wanted: Floats, shown: Floats, mask: Mask) -> float:
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if not inner.any():
        return 0.0
    one, other = (
        np.stack([cv2.Scharr(light, cv2.CV_32F, 1, 0)[inner], cv2.Scharr(light, cv2.CV_32F, 0, 1)[inner]])
        for light in (wanted, shown)
    )
    strength = np.linalg.norm(one, axis=0)
    agreement = (one * other).sum(axis=0) / (strength * np.linalg.norm(other, axis=0) + EDGE_FLOOR)
    weight = np.minimum(strength, np.quantile(strength, EDGE_CAP))
    return float((weight * agreement).sum() / (weight.sum() + 1e-6))


def _by_parts(wanted: Floats, shown: Floats, mask: Mask) -> tuple[float, float]:
    """Mean correlation of the parts with contrast, and how many of them correlate well."""
    rows, columns = np.nonzero(mask)
    down = (rows - rows.min()) * PARTS // (np.ptp(rows) + 1)
    across = (columns - columns.min()) * PARTS // (np.ptp(columns) + 1)
    part, wanted, shown = down * PARTS + across, wanted[mask], shown[mask]
    correlations, weights = [], []
    for number in range(PARTS * PARTS):
        chosen = part == number
        if chosen.sum() < PART_PIXELS_MIN or (contrast := float(wanted[chosen].std())) < PART_CONTRAST_MIN:
            continue
        correlations.append(_correlation(wanted[chosen], shown[chosen]))
        weights.append(min(contrast, PART_CONTRAST_MAX))
    if not weights:
        return 0.0, 0.0
    found, weight = np.array(correlations), np.array(weights) / sum(weights)
    return float(found @ weight), float((found >= PART_ALIKE_MIN) @ weight)
