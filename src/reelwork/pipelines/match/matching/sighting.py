"""One product seen in one frame; and which of two that claim the same place has to give way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reelwork.pipelines.match.matching.catalogue import Entry
from reelwork.pipelines.match.matching.features import FrameFeatures
from reelwork.pipelines.match.matching.plane import Points, corners, project
from reelwork.pipelines.match.matching.resemblance import Resemblance
from reelwork.pipelines.match.matching.verification import Verification
from reelwork.vision.opencv import cv2

SAME_PLACE_MIN = 0.4
"""Intersection over union of two outlines from which both products cannot be there."""
YIELDING_FACTOR = 0.6
"""One with less than this much of the other's agreeing places gives way; closer ones both stay, nobody knows better."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """A catalogue's entry in a frame; `logit` is how sure."""

    entry: Entry
    frame: FrameFeatures
    verification: Verification
    logit: float
    resemblance: Resemblance | None = None
    """Of pixels; None where keypoints alone have decided."""

    @property
    def outline(self) -> Points:
        """(4, 2): the corners of the product's picture, in the frame."""
        keypoints = self.entry.image.keypoints
        return project(self.verification.homography, corners(keypoints.width, keypoints.height))


def without_rivals(sightings: Sequence[Sighting]) -> list[Sighting]:
    """Sightings of one frame, less those at whose place another product is seen much better.

    Look-alikes share a logo, and it verifies; the product that is really there has the rest as well.
    """
    return [one for one in sightings if not any(_gives_way(one, other) for other in sightings)]


def _gives_way(one: Sighting, other: Sighting) -> bool:
    if one.entry.product == other.entry.product:
        return False
    mine, theirs = one.verification.evidence, other.verification.evidence
    return mine.agreeing < YIELDING_FACTOR * theirs.agreeing and _overlap(one.outline, other.outline) >= SAME_PLACE_MIN


def _overlap(one: Points, other: Points) -> float:
    common, _ = cv2.intersectConvexConvex(one, other)
    union = cv2.contourArea(one) + cv2.contourArea(other) - common
    return float(common / np.maximum(union, 1e-6))
