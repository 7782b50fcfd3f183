"""Which pictures of which products are worth a verification in a frame.

Two exact searches, joined. Embeddings of whole frames find a product that fills the frame; they cannot see one that
covers a twentieth of it. So the largest keypoints of all products vote as well, all at once for each frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reelwork.pipelines.match.matching.consensus import largest_consensus
from reelwork.pipelines.match.matching.correspondences import Correspondences, Floats, distinct, nearest_two
from reelwork.pipelines.match.matching.described import Described, largest

VOTERS = 256
"""Keypoints of a picture that vote, the largest: they are what is left of a product far away."""
VOTES_MIN = 4
FRAMES_BY_EMBEDDING = 3
"""The frames most like a picture as a whole are verified whatever the votes say."""


class Voters:
    """The largest keypoints of many pictures, ready to be compared with one frame after another."""

    def __init__(self, images: Sequence[Described]) -> None:
        self._images = images
        self._chosen = [largest(image.keypoints, VOTERS) for image in images]
        stacked = [image.compact[chosen] for image, chosen in zip(images, self._chosen, strict=True) if len(chosen)]
        self._stacked = np.concatenate(stacked) if stacked else np.zeros((0, 1), np.float32)

    def elect(self, frame: Described) -> list[int]:
        """Numbers of the pictures whose voters agree with each other about where in the frame they are."""
        return [number for number, votes in enumerate(self.votes(frame)) if votes >= VOTES_MIN]

    def votes(self, frame: Described) -> list[int]:
        """Of each picture, the most voters that agree with each other about where in the frame it is."""
        if len(frame) == 0 or len(self._stacked) == 0:
            return [0] * len(self._images)
        best, distance, ratio = nearest_two(self._stacked, frame.compact)
        counts, begin = [], 0
        for number, chosen in enumerate(self._chosen):
            rows = slice(begin, begin + len(chosen))
            begin = rows.stop
            counts.append(self._votes(number, frame, distinct(best[rows], distance[rows], ratio[rows])))
        return counts

    def _votes(self, number: int, frame: Described, pairs: Correspondences) -> int:
        chosen = self._chosen[number]
        of_image = Correspondences(chosen[pairs.image], pairs.frame, pairs.distance)
        return len(largest_consensus(self._images[number].keypoints, frame.keypoints, of_image))


def nearest_frames(images: Floats, frames: Floats) -> npt.NDArray[np.intp]:
    """(images, k): for each embedded picture the k frames most like it, best first, over all frames of a video."""
    count = min(FRAMES_BY_EMBEDDING, len(frames))
    return np.argsort(-(images @ frames.T), axis=1, kind="stable")[:, :count]
