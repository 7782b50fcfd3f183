"""A closer look at the products of which keypoints say little: a pose is grown out of few correspondences, and the
pixels there decide. It costs some hundredths of a second each, so only the most voted in a frame have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reelwork.pipelines.match.matching.catalogue import Entry
from reelwork.pipelines.match.matching.correspondences import Correspondences
from reelwork.pipelines.match.matching.described import Described
from reelwork.pipelines.match.matching.features import FrameFeatures
from reelwork.pipelines.match.matching.guided import guided_planes
from reelwork.pipelines.match.matching.resemblance import resemblance
from reelwork.pipelines.match.matching.score import close_logit
from reelwork.pipelines.match.matching.sighting import Sighting
from reelwork.pipelines.match.matching.verification import Verification, second_look

LOOKS_MAX = 4
"""Products of a frame that are looked at closely."""
AGREEING_MIN = 4
RESEMBLING_MIN = 0.15
"""Below this share of the parts, pixels have said no, and it is no sighting."""


@dataclass(frozen=True, eq=False)
class Doubt:
    """A catalogue's entry that is in a frame or not. verification: what keypoints found, None when nothing."""

    entry: Entry
    pairs: Correspondences
    votes: int
    verification: Verification | None


def looked_at_closely(doubts: Sequence[Doubt], ready: Described, frame: FrameFeatures) -> Iterator[Sighting]:
    """The best pose of each of the most voted; nothing where frame or product have no pixels to look at."""
    if frame.picture is None:
        return
    picture = None
    order = sorted(doubts, key=lambda doubt: (doubt.verification is None, -doubt.votes))
    for doubt in order[:LOOKS_MAX]:
        if doubt.entry.image.template is None:
            continue
        found = _poses(doubt, ready)
        if not found:
            continue
        picture = frame.picture() if picture is None else picture
        template = doubt.entry.image.template()
        seen = [resemblance(template, picture, one.homography) for one in found]
        logits = [close_logit(one.evidence, at) for one, at in zip(found, seen, strict=True)]
        best = max(range(len(found)), key=logits.__getitem__)
        if doubt.verification is not None or seen[best].alike >= RESEMBLING_MIN:
            yield Sighting(doubt.entry, frame, found[best], logits[best], seen[best])


def _poses(doubt: Doubt, ready: Described) -> list[Verification]:
    image = doubt.entry.described
    grown = (
        second_look(image, ready, homography, agreeing_min=AGREEING_MIN)
        for homography in guided_planes(image, ready, doubt.pairs)
    )
    found = [one for one in grown if one is not None]
    return found if doubt.verification is None else [doubt.verification, *found]
