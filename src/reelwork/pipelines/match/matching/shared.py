"""What pictures of different products have in common, which tells none of them apart.

Boxes of one brand share a logo and a layout. Where that is all that a frame shows, nobody can say which of them it is,
so such keypoints are no evidence. Pictures that agree as a whole are variants of one thing, and keep theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reelwork.pipelines.match.matching.candidates import VOTERS, Voters
from reelwork.pipelines.match.matching.correspondences import Indices
from reelwork.pipelines.match.matching.described import Described
from reelwork.pipelines.match.matching.likeness import Likeness
from reelwork.pipelines.match.matching.verification import verify

CODE_REVISION = 2
"""Raised whenever the same pictures would be said to share something else: these marks are kept."""
COMPARED_MAX = 48
"""A picture is compared with so many of other products: all, where there are no more, otherwise those most like it. A
part that hundreds share is found in the first of them."""
VARIANT_COVERAGE_MIN = 0.5
"""Pictures that agree in this share of their parts show variants of one thing, not things that share a part. Parts are
counted, not the area between places that agree: a logo and one accident far from it would span most of a picture."""
SHARED_REACH = 0.012
"""Of the longer side of a picture."""

Marks = npt.NDArray[np.bool_]


def distinctive_marks(
    pictures: Sequence[Described], products: Sequence[int], *, compared_max: int = COMPARED_MAX
) -> list[Marks]:
    """Of each picture, (n,): False for a keypoint that a picture of another product has as well.

    products: whose picture each is.
    """
    owners = np.asarray(products, np.intp)
    if len(np.unique(owners)) < 2:
        return [np.ones(len(picture), np.bool_) for picture in pictures]
    many = len(pictures) - 1 > compared_max and any(len(picture) for picture in pictures)
    likeness = Likeness(pictures, VOTERS) if many else None
    marks = []
    for picture, owner in zip(pictures, owners, strict=True):
        others = np.flatnonzero(owners != owner)
        if likeness is not None:
            others = likeness.nearest(picture, others, compared_max)
        marks.append(_marks(picture, [pictures[int(number)] for number in others]))
    return marks


def _marks(picture: Described, others: Sequence[Described]) -> Marks:
    shared = []
    for number in Voters(others).elect(picture):
        common = verify(others[number], picture)
        if common is not None and common.evidence.coverage < VARIANT_COVERAGE_MIN:
            shared.append(common.frame_keypoints)
    marks = np.ones(len(picture), np.bool_)
    if shared:
        marks[_around(picture, np.concatenate(shared))] = False
    return marks


def _around(described: Described, shared: Indices) -> Indices:
    """Indices of the keypoints close to a shared one: half found of a logo is still a logo."""
    points = described.keypoints.points
    reach = SHARED_REACH * max(described.keypoints.width, described.keypoints.height)
    distance = np.linalg.norm(points[:, None] - points[np.unique(shared)][None], axis=2)
    return np.flatnonzero(distance.min(axis=1) <= reach)
