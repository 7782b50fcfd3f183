"""Keypoints made ready for comparing: descriptors of length 1, and a shorter form of them for the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from reelwork.pipelines.match.matching.correspondences import Floats, Indices
from reelwork.vision.keypoints import Keypoints

COMPACT_NUMBERS = 48
"""Of 128: the search costs about a third. Verification uses all of them."""


class Compaction:
    """The principal directions of a catalogue's own descriptors: in fewer numbers what tells its keypoints apart."""

    def __init__(self, samples: Sequence[Keypoints]) -> None:
        given = [unit_descriptors(keypoints) for keypoints in samples]
        joined = np.concatenate([*given, np.zeros((1, given[0].shape[1] if given else 1), np.float32)])
        centred = joined - joined.mean(axis=0)
        _, directions = np.linalg.eigh(centred.T @ centred)  # weakest first
        self._directions = np.ascontiguousarray(directions[:, ::-1][:, :COMPACT_NUMBERS], np.float32)

    def of(self, descriptors: Floats) -> Floats:
        """(n, COMPACT_NUMBERS)."""
        return np.asarray(descriptors @ self._directions, np.float32)


@dataclass(frozen=True, eq=False)
class Described:
    """Keypoints and their descriptors, (n, d), rows of length 1; `compact` is their shorter form."""

    keypoints: Keypoints
    descriptors: Floats
    compact: Floats
    distinctive: npt.NDArray[np.bool_]
    """(n,): False for a keypoint that other products of the catalogue have as well, like the logo of a brand."""

    @classmethod
    def of(cls, keypoints: Keypoints, compaction: Compaction) -> Described:
        """Makes the descriptors ready; all count as distinctive."""
        if len(keypoints.points) == 0:
            nothing = np.zeros((0, 1), np.float32)
            return cls(keypoints, nothing, nothing, np.ones(0, np.bool_))
        descriptors = unit_descriptors(keypoints)
        return cls(keypoints, descriptors, compaction.of(descriptors), np.ones(len(descriptors), np.bool_))

    def without(self, shared: Indices) -> Described:
        """The same, with these keypoints no longer distinctive."""
        distinctive = self.distinctive.copy()
        distinctive[shared] = False
        return replace(self, distinctive=distinctive)

    def __len__(self) -> int:
        return len(self.descriptors)


def unit_descriptors(keypoints: Keypoints) -> Floats:
    """(n, d) float32, each row of length 1."""
    descriptors = keypoints.descriptors.astype(np.float32)
    length = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return np.asarray(descriptors / np.maximum(length, np.float32(1e-6)), np.float32)


def largest(keypoints: Keypoints, count: int) -> Indices:
    """Indices, in order, of the `count` keypoints of the largest scale: what is left of a product far away."""
    return np.sort(np.argsort(-keypoints.scales, kind="stable")[:count])


def taken(keypoints: Keypoints, chosen: Indices) -> Keypoints:
    """Only the chosen ones."""
    return replace(
        keypoints,
        points=keypoints.points[chosen],
        scales=keypoints.scales[chosen],
        angles=keypoints.angles[chosen],
        descriptors=keypoints.descriptors[chosen],
    )
