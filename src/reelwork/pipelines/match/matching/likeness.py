"""Which pictures of a catalogue may share a part, without comparing all of them with each other.

The words of a vocabulary tree (Nistér, Stewénius, CVPR 2006, in two levels) give each keypoint its candidates in all
pictures at once, and their poses vote in coarse bins (Lowe, IJCV 2004). It says only who is worth a comparison; what
pictures share is found by that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reelwork.pipelines.match.matching.correspondences import Floats, Indices
from reelwork.pipelines.match.matching.described import Described, largest
from reelwork.vision.keypoints import Keypoints

BRANCHES_MAX = 128
"""On each level; their square is the number of words."""
DESCRIPTORS_PER_WORD = 4
"""A small catalogue has fewer words: one for each descriptor would find only copies."""
SAMPLES_MAX = 65_536
"""Descriptors that the vocabulary is made of."""
ROUNDS = 4
ROWS = 4_096
"""Compared with all branches at a time."""
LISTED_MAX = 50_000
"""Candidates of one picture that are looked at, those of the rarest words: a frequent one stands for thousands."""
SQUARED_DISTANCE_MAX = 0.4
"""Between compact descriptors that may be of one thing; the nearer, the more their vote counts."""
TURNS = 8
PLACES = 16
"""Bins of a turn; and of a place on each axis, each as wide as PLACE of the longer side of a picture."""
PLACE = 0.35
OCTAVES = 8


class Likeness:
    """Ranks the pictures of a catalogue by how much of them can be seen, in one pose, in another picture."""

    def __init__(self, pictures: Sequence[Described], voters: int) -> None:
        """voters: of each picture, so many of its largest keypoints are looked for. One picture at least has any."""
        chosen = [largest(picture.keypoints, voters) for picture in pictures]
        given = [(number, some) for number, some in enumerate(chosen) if len(some)]
        self._count = len(pictures)
        self._owner = np.concatenate([np.full(len(some), number) for number, some in given])
        self._compact = np.concatenate([pictures[number].compact[some] for number, some in given])
        self._point, self._scale, self._angle = (
            np.concatenate([values(pictures[number].keypoints)[some] for number, some in given])
            for values in (_places, lambda keypoints: keypoints.scales, lambda keypoints: keypoints.angles)
        )
        self._vocabulary = _Vocabulary(self._compact)
        words = self._vocabulary.words(self._compact)
        self._listed = np.argsort(words, kind="stable")
        self._begin = np.searchsorted(words[self._listed], np.arange(self._vocabulary.size + 1))

    def nearest(self, picture: Described, among: Indices, count: int) -> Indices:
        """In order of their numbers, the `count` of the pictures `among` that look most like this one in some part."""
        if len(among) <= count or len(picture) == 0:
            return among[:count]
        votes = self._votes(picture.keypoints, *self._pairs(picture.compact))
        return np.sort(among[np.argsort(-votes[among], kind="stable")[:count]])

    def _pairs(self, descriptors: Floats) -> tuple[Indices, Indices, Floats]:
        """Voters, the descriptor of its word that each is nearest to, and 1 for no distance down to 0 for too far."""
        words = self._vocabulary.words(descriptors)
        length = self._begin[words + 1] - self._begin[words]
        rare = np.argsort(length, kind="stable")
        rare = rare[np.cumsum(length[rare]) <= LISTED_MAX]
        length, words = length[rare], words[rare]
        offset = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        voter, nearest = self._listed[np.repeat(self._begin[words], length) + offset], np.repeat(rare, length)
        squared = np.square(self._compact[voter] - descriptors[nearest]).sum(axis=1)
        order = np.lexsort((squared, voter))
        _, first = np.unique(voter[order], return_index=True)
        best = order[first]
        best = best[squared[best] < SQUARED_DISTANCE_MAX]
        return voter[best], nearest[best], np.asarray(1 - squared[best] / SQUARED_DISTANCE_MAX, np.float32)

    def _votes(self, keypoints: Keypoints, voter: Indices, nearest: Indices, weight: Floats) -> npt.NDArray[np.float64]:
        """(pictures,): the most votes of each for one pose; bins overlap by half, so that none splits them."""
        octave = np.log2(np.maximum(keypoints.scales[nearest], 1e-6) / np.maximum(self._scale[voter], 1e-6))
        turn = (keypoints.angles[nearest] - self._angle[voter]) / 360
        origin = _places(keypoints)[nearest] - 2**octave * np.exp(2j * np.pi * turn) * self._point[voter]
        origin /= PLACE * max(keypoints.width, keypoints.height)
        votes = np.zeros(self._count)
        for shift in (0.0, 0.5):
            pose = self._owner[voter]
            for place, bins in ((octave, OCTAVES), (turn * TURNS, TURNS), (origin.real, PLACES), (origin.imag, PLACES)):
                pose = pose * bins + np.floor(place + shift).astype(np.intp) % bins
            poses, number = np.unique(pose, return_inverse=True)
            np.maximum.at(votes, poses // (OCTAVES * TURNS * PLACES * PLACES), np.bincount(number, weight))
        return votes


def _places(keypoints: Keypoints) -> npt.NDArray[np.complex128]:
    return np.asarray(keypoints.points[:, 0] + 1j * keypoints.points[:, 1], np.complex128)


class _Vocabulary:
    def __init__(self, descriptors: Floats) -> None:
        sample = descriptors[:: max(1, -(-len(descriptors) // SAMPLES_MAX))]
        self._branches = min(BRANCHES_MAX, max(1, math.isqrt(len(descriptors) // DESCRIPTORS_PER_WORD)))
        self._trunk = _centres(sample, self._branches)
        branch = _closest(sample, self._trunk)
        self._limbs = [_centres(sample[branch == number], self._branches) for number in range(len(self._trunk))]
        self.size = self._branches * self._branches

    def words(self, descriptors: Floats) -> Indices:
        """(n,), below `size`."""
        branch = _closest(descriptors, self._trunk)
        words = branch * self._branches
        order = np.argsort(branch, kind="stable")
        ends = np.searchsorted(branch[order], np.arange(len(self._limbs) + 1))
        for number, limbs in enumerate(self._limbs):
            mine = order[ends[number] : ends[number + 1]]
            words[mine] += _closest(descriptors[mine], limbs)
        return words


def _centres(sample: Floats, count: int) -> Floats:
    """(`count` or fewer, d): Lloyd's k-means from evenly spaced samples; the same pictures give the same."""
    centres = sample[:: max(1, -(-len(sample) // count))]
    for _ in range(ROUNDS if len(sample) > len(centres) else 0):
        nearest = _closest(sample, centres)
        order = np.argsort(nearest, kind="stable")
        filled, begin, length = np.unique(nearest[order], return_index=True, return_counts=True)
        centres = centres.copy()
        centres[filled] = np.add.reduceat(sample[order], begin) / length[:, None]
    return np.asarray(centres, np.float32)


def _closest(descriptors: Floats, centres: Floats) -> Indices:
    """(n,): of each descriptor, the number of its nearest centre; 0 where there is none."""
    nearest = np.zeros(len(descriptors), np.intp)
    if len(centres) == 0:
        return nearest
    half = np.square(centres).sum(axis=1) / 2
    for begin in range(0, len(descriptors), ROWS):
        rows = descriptors[begin : begin + ROWS]
        nearest[begin : begin + len(rows)] = (rows @ centres.T - half).argmax(axis=1)
    return nearest
