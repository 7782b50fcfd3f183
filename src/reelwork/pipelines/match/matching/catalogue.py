"""All products that are looked for together, made ready once; and what they have in common, which tells none apart.

Boxes of one brand share a logo and a layout. Where that is all that a frame shows, nobody can say which of them it is,
so such keypoints are no evidence. Pictures that agree as a whole are variants of one thing, and keep theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reelwork.pipelines.match.matching.candidates import Voters
from reelwork.pipelines.match.matching.correspondences import Indices
from reelwork.pipelines.match.matching.described import Compaction, Described, largest, taken
from reelwork.pipelines.match.matching.features import ImageFeatures, ProductFeatures
from reelwork.pipelines.match.matching.verification import verify

VARIANT_SPREAD_MIN = 0.4
"""Pictures that agree over this share of their area show variants of one thing, not things that share a part."""
IMAGE_KEYPOINTS_MAX = 1_000
"""Of a picture, the largest: smaller ones are seen only where it fills the frame, and then there are plenty."""
SHARED_REACH = 0.012
"""Of the longer side of a picture."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One picture of product number `product`."""

    product: int
    image: ImageFeatures
    described: Described


class Catalogue:
    """Products and their pictures, ready to be looked for in any number of videos."""

    def __init__(self, products: Sequence[ProductFeatures]) -> None:
        self.products = list(products)
        owned = [(number, image) for number, product in enumerate(products) for image in product.images]
        kept = [taken(image.keypoints, largest(image.keypoints, IMAGE_KEYPOINTS_MAX)) for _, image in owned]
        self.compaction = Compaction(kept)
        described = [Described.of(keypoints, self.compaction) for keypoints in kept]
        self.voters = Voters(described)
        entries = [Entry(*pair, ready) for pair, ready in zip(owned, described, strict=True)]
        self.entries = [replace(entry, described=_distinctive(entry, entries, self.voters)) for entry in entries]


def _distinctive(entry: Entry, entries: Sequence[Entry], voters: Voters) -> Described:
    described, shared = entry.described, []
    for number in voters.elect(described):
        other = entries[number]
        if other.product == entry.product:
            continue
        common = verify(other.described, described)
        if common is not None and common.evidence.spread < VARIANT_SPREAD_MIN:
            shared.append(common.frame_keypoints)
    return described.without(_around(described, np.concatenate(shared))) if shared else described


def _around(described: Described, shared: Indices) -> Indices:
    """Indices of the keypoints close to a shared one: half found of a logo is still a logo."""
    points = described.keypoints.points
    reach = SHARED_REACH * max(described.keypoints.width, described.keypoints.height)
    distance = np.linalg.norm(points[:, None] - points[np.unique(shared)][None], axis=2)
    return np.flatnonzero(distance.min(axis=1) <= reach)
