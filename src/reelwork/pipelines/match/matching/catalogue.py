"""All products that are looked for together, made ready once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reelwork.errors import ContractViolation
from reelwork.pipelines.match.matching.candidates import Voters
from reelwork.pipelines.match.matching.described import Compaction, Described, largest, taken
from reelwork.pipelines.match.matching.features import ImageFeatures, ProductFeatures
from reelwork.pipelines.match.matching.shared import Marks, distinctive_marks

IMAGE_KEYPOINTS_MAX = 1_000
"""Of a picture, the largest: smaller ones are seen only where it fills the frame, and then there are plenty."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One picture of product number `product`."""

    product: int
    image: ImageFeatures
    described: Described


class Catalogue:
    """Products and their pictures, ready to be looked for in any number of videos."""

    def __init__(self, products: Sequence[ProductFeatures], *, marks: Sequence[Marks] | None = None) -> None:
        """marks: what `marks` of a catalogue of the same products was; what the products share is not looked for again.

        Raises ContractViolation for marks of other pictures.
        """
        self.products = list(products)
        owned = [(number, image) for number, product in enumerate(products) for image in product.images]
        kept = [taken(image.keypoints, largest(image.keypoints, IMAGE_KEYPOINTS_MAX)) for _, image in owned]
        self.compaction = Compaction(kept)
        described = [Described.of(keypoints, self.compaction) for keypoints in kept]
        if marks is None:
            marks = distinctive_marks(described, [number for number, _ in owned])
        elif [len(one) for one in marks] != [len(one) for one in described]:
            raise ContractViolation("these marks are of other pictures")
        self.voters = Voters(described)
        self.entries = [
            Entry(number, image, replace(one, distinctive=distinctive))
            for (number, image), one, distinctive in zip(owned, described, marks, strict=True)
        ]

    @property
    def marks(self) -> list[Marks]:
        """Of each picture, (n,): False for a keypoint that other products have as well."""
        return [entry.described.distinctive for entry in self.entries]
