"""Finds products in a video: candidates, verification in each frame, rivals out; for each one score and its times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from reelwork.pipelines.match.matching.candidates import VOTES_MIN, nearest_frames
from reelwork.pipelines.match.matching.catalogue import Catalogue, Entry
from reelwork.pipelines.match.matching.closer import Doubt, looked_at_closely
from reelwork.pipelines.match.matching.correspondences import correspond
from reelwork.pipelines.match.matching.described import Described
from reelwork.pipelines.match.matching.features import FrameFeatures, ProductFeatures, VideoFeatures
from reelwork.pipelines.match.matching.match import Match, Pair, PointPair, Row
from reelwork.pipelines.match.matching.plane import Matrix
from reelwork.pipelines.match.matching.score import (
    FRAME_LOGIT_MINIMUM,
    SCORE_MINIMUM,
    STRONG_LOGIT_MINIMUM,
    TEXTURE_KEYPOINTS_MIN,
    embedding_score,
    frame_logit,
    video_score,
)
from reelwork.pipelines.match.matching.sighting import Sighting, without_rivals
from reelwork.pipelines.match.matching.spans import spans_of
from reelwork.pipelines.match.matching.verification import verify

POINTS_MAX = 200
"""Of a best pair, kept in its match: the likest first."""


def find_matches(
    product: ProductFeatures, video: VideoFeatures, *, score_minimum: float = SCORE_MINIMUM
) -> Match | None:
    """The product in the video, or None. Better look for many at once: then what they share is known."""
    found = find_matches_in_video([product], video, score_minimum=score_minimum)
    return found[0] if found else None


def find_matches_in_video(
    products: Sequence[ProductFeatures] | Catalogue, video: VideoFeatures, *, score_minimum: float = SCORE_MINIMUM
) -> list[Match]:
    """Those of the products that are in the video, surest first; a Catalogue, made once, serves many videos."""
    catalogue = products if isinstance(products, Catalogue) else Catalogue(products)
    frames = sorted(video.frames, key=lambda frame: frame.ts)
    if not frames or not catalogue.entries:
        return []
    sighted = sightings(catalogue, frames)
    matches = {match.product_id: match for match in _by_embedding(catalogue, video, frames)}
    matches |= {match.product_id: match for match in _by_geometry(catalogue, video, frames, sighted)}
    kept = (match for match in matches.values() if match.score >= score_minimum)
    return sorted(kept, key=lambda match: (-match.score, match.product_id))


def sightings(catalogue: Catalogue, frames: Sequence[FrameFeatures]) -> list[list[Sighting]]:
    """For each frame, the products that are seen there, by the best of their pictures."""
    return [closely for _, closely in sightings_both_ways(catalogue, frames)]


def sightings_both_ways(
    catalogue: Catalogue, frames: Sequence[FrameFeatures]
) -> list[tuple[list[Sighting], list[Sighting]]]:
    """For each frame: what keypoints alone say, and what is said when those that they leave open were looked at."""
    elected: defaultdict[int, set[int]] = defaultdict(set)
    for number, nearest in enumerate(_nearest(catalogue, frames)):
        for index in nearest:
            elected[int(index)].add(number)
    return [_sightings_in(catalogue, frame, elected[index]) for index, frame in enumerate(frames)]


def _sightings_in(
    catalogue: Catalogue, frame: FrameFeatures, elected: set[int]
) -> tuple[list[Sighting], list[Sighting]]:
    ready = Described.of(frame.keypoints, catalogue.compaction)
    votes = catalogue.voters.votes(ready)
    candidates = elected.union(number for number, count in enumerate(votes) if count >= VOTES_MIN)
    found: list[Sighting] = []
    doubts: list[Doubt] = []
    for number in sorted(candidates):
        entry = catalogue.entries[number]
        pairs = correspond(entry.described.compact, ready.compact)
        verification = verify(entry.described, ready, pairs)
        logit = -np.inf if verification is None else frame_logit(verification.evidence)
        if verification is not None:
            found.append(Sighting(entry, frame, verification, logit))
        if logit < STRONG_LOGIT_MINIMUM:
            doubts.append(Doubt(entry, pairs, votes[number], verification))
    return _best_of_each(found), _best_of_each([*found, *looked_at_closely(doubts, ready, frame)])


def _best_of_each(found: Sequence[Sighting]) -> list[Sighting]:
    best: dict[int, Sighting] = {}
    for sighting in found:
        product = sighting.entry.product
        if product not in best or _stronger(sighting, best[product]):
            best[product] = sighting
    return without_rivals(list(best.values()))


def _stronger(one: Sighting, other: Sighting) -> bool:
    """A look at pixels is believed, also where it lowers what keypoints have said."""
    if one.entry is other.entry and (one.resemblance is None) != (other.resemblance is None):
        return one.resemblance is not None
    return one.logit > other.logit


def _by_geometry(
    catalogue: Catalogue, video: VideoFeatures, frames: Sequence[FrameFeatures], sighted: Sequence[Sequence[Sighting]]
) -> list[Match]:
    by_product: defaultdict[int, dict[int, Sighting]] = defaultdict(dict)
    for index, found in enumerate(sighted):
        for sighting in found:
            by_product[sighting.entry.product][index] = sighting
    times = [frame.ts for frame in frames]
    matches = []
    for product, mine in by_product.items():
        best = max(mine.values(), key=lambda sighting: sighting.logit)
        enough = min(FRAME_LOGIT_MINIMUM, best.logit)  # the best frame always counts
        seen = [index in mine and mine[index].logit >= enough for index in range(len(frames))]
        matches.append(
            Match(
                product_id=catalogue.products[product].product_id,
                video_id=video.video_id,
                score=video_score([sighting.logit for sighting in mine.values()]),
                method="geometry",
                best_pair=_pair(best),
                spans=spans_of(times, seen, video.seconds),
            )
        )
    return matches


def _by_embedding(catalogue: Catalogue, video: VideoFeatures, frames: Sequence[FrameFeatures]) -> list[Match]:
    """Of products whose pictures are all too plain for geometry."""
    textured = {entry.product for entry in catalogue.entries if len(entry.described) >= TEXTURE_KEYPOINTS_MIN}
    plain = [entry for entry in catalogue.entries if entry.product not in textured]
    if not plain:
        return []
    cosines = np.stack([entry.image.embedding for entry in plain]) @ np.stack([frame.embedding for frame in frames]).T
    best: dict[int, tuple[float, Entry, FrameFeatures]] = {}
    for entry, row in zip(plain, cosines, strict=True):
        index = int(row.argmax())
        if entry.product not in best or row[index] > best[entry.product][0]:
            best[entry.product] = (float(row[index]), entry, frames[index])
    times = [frame.ts for frame in frames]
    return [
        Match(
            product_id=catalogue.products[product].product_id,
            video_id=video.video_id,
            score=embedding_score(cosine),
            method="embedding",
            best_pair=Pair(
                image_id=entry.image.image_id,
                frame_id=frame.frame_id,
                ts=frame.ts,
                inliers=0,
                homography=None,
                inlier_points=(),
            ),
            spans=spans_of(times, [other is frame for other in frames], video.seconds),
        )
        for product, (cosine, entry, frame) in best.items()
    ]


def _nearest(catalogue: Catalogue, frames: Sequence[FrameFeatures]) -> np.ndarray:
    return nearest_frames(
        np.stack([entry.image.embedding for entry in catalogue.entries]),
        np.stack([frame.embedding for frame in frames]),
    )


def _pair(sighting: Sighting) -> Pair:
    image, frame = sighting.entry.described.keypoints, sighting.frame.keypoints
    found = sighting.verification
    points = np.column_stack([image.points[found.image_keypoints], frame.points[found.frame_keypoints]])
    return Pair(
        image_id=sighting.entry.image.image_id,
        frame_id=sighting.frame.frame_id,
        ts=sighting.frame.ts,
        inliers=len(points),
        homography=_rows(found.homography),
        inlier_points=tuple(_point_pair(row) for row in points[:POINTS_MAX]),
    )


def _rows(homography: Matrix) -> tuple[Row, Row, Row]:
    first, second, third = (tuple(float(value) for value in row) for row in homography / homography[2, 2])
    return first, second, third  # type: ignore[return-value]


def _point_pair(row: np.ndarray) -> PointPair:
    return tuple(round(float(value), 2) for value in row)  # type: ignore[return-value]
