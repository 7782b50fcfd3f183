"""The figures of the match benchmark: pure functions of what was found and what was there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from match_videos import Appearance, Truth

from reelwork.pipelines.match.matching import Match

NEAR_SECONDS = 0.5
"""A match shows its product at a time within its appearance, or at most so far outside."""
Z_95 = 1.96
RELIABILITY_BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0)
CONDITIONS: dict[str, tuple[float, ...]] = {
    "scale": (0.25, 0.5, 0.75, 1.0),
    "tilt_degrees": (0, 17, 34, 50),
    "occlusion": (0, 0.05, 0.2, 0.4),
    "blur_pixels": (0, 0.7, 1.4, 2),
    "gain": (0.5, 0.8, 1.2, 1.5),
    "turn_degrees": (0, 25, 90, 180),
}


@dataclass(frozen=True)
class Claim:
    """A product said to be in a video, with any score. `appearance` is the true one that it names, if it names one."""

    product: str
    video: str
    score: float
    is_true: bool
    overlap: float | None
    """Intersection over union of the spans with the time for which it was there; None when it was not."""
    appearance: Appearance | None


@dataclass(frozen=True)
class Expected:
    """An appearance of a product of the catalogue, and the score with which it was found; None when it was not."""

    video: str
    appearance: Appearance
    score: float | None


@dataclass(frozen=True)
class Share:
    """A part of a whole, with Wilson's interval of 95 %."""

    part: int
    whole: int

    @property
    def value(self) -> float:
        return self.part / self.whole if self.whole else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        if not self.whole:
            return math.nan, math.nan
        share, weight = self.value, Z_95**2 / self.whole
        middle = (share + weight / 2) / (1 + weight)
        reach = Z_95 / (1 + weight) * math.sqrt(share * (1 - share) / self.whole + weight / self.whole / 4)
        return max(0.0, middle - reach), min(1.0, middle + reach)

    def text(self) -> str:
        low, high = self.interval
        return f"{self.value:.3f}  ({self.part} of {self.whole}; {low:.3f} to {high:.3f})" if self.whole else "none"

    def as_json(self) -> dict[str, float | int]:
        low, high = self.interval
        return {"part": self.part, "whole": self.whole, "value": self.value, "low": low, "high": high}


def claims_of(matches: Iterable[Match], truth: Truth) -> list[Claim]:
    """Each match of one video beside the truth. True is one whose best pair lies within an appearance."""
    claims = []
    for match in matches:
        there = [one for one in truth.appearances if one.known and one.product == match.product_id]
        at = match.best_pair.ts
        named = next((one for one in there if one.start - NEAR_SECONDS <= at <= one.end + NEAR_SECONDS), None)
        overlap = None if named is None else time_overlap(match.spans, [(one.start, one.end) for one in there])
        claims.append(Claim(match.product_id, truth.video, match.score, named is not None, overlap, named))
    return claims


def expected_of(truths: Iterable[Truth], claims: Iterable[Claim]) -> list[Expected]:
    """Every appearance of a product of the catalogue."""
    scores = {(claim.video, claim.product): claim.score for claim in claims if claim.is_true}
    return [
        Expected(truth.video, one, scores.get((truth.video, one.product)))
        for truth in truths
        for one in truth.appearances
        if one.known
    ]


def precision(claims: Iterable[Claim], score_minimum: float) -> Share:
    made = [claim for claim in claims if claim.score >= score_minimum]
    return Share(sum(claim.is_true for claim in made), len(made))


def recall(expected: Sequence[Expected], score_minimum: float) -> Share:
    return Share(sum(one.score is not None and one.score >= score_minimum for one in expected), len(expected))


def mean_overlap(claims: Iterable[Claim], score_minimum: float) -> float:
    """Mean over the true matches."""
    overlaps = [one.overlap for one in claims if one.overlap is not None and one.score >= score_minimum]
    return sum(overlaps) / len(overlaps) if overlaps else math.nan


def time_overlap(one: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]) -> float:
    """Intersection over union of two lists of spans, each in order and apart."""
    common = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in one for b in other)
    union = sum(end - start for start, end in (*one, *other)) - common
    return common / union if union > 0 else 0.0


def recall_by_condition(expected: Sequence[Expected], score_minimum: float) -> dict[str, dict[str, Share]]:
    """For each condition: recall of the appearances whose value lies in each range (without its low end)."""
    table = {}
    for name, limits in CONDITIONS.items():
        value = _value_of(name)
        table[name] = {
            f"{low:g} to {high:g}": recall(
                [one for one in expected if low < value(one) <= high or value(one) == low == limits[0]], score_minimum
            )
            for low, high in itertools.pairwise(limits)
        }
    return table


def _value_of(name: str) -> Callable[[Expected], float]:
    return lambda one: abs(getattr(one.appearance.conditions, name))


def reliability(claims: Sequence[Claim]) -> list[tuple[float, float, float, Share]]:
    """For each range of scores: from, to, the mean of the scores in it, and how many of them were true."""
    rows = []
    for low, high in itertools.pairwise(RELIABILITY_BINS):
        inside = [one for one in claims if low <= one.score < high or (one.score == high == 1.0)]
        mean = sum(one.score for one in inside) / len(inside) if inside else math.nan
        rows.append((low, high, mean, Share(sum(one.is_true for one in inside), len(inside))))
    return rows


def curve(claims: Sequence[Claim], expected: Sequence[Expected]) -> list[tuple[float, float, float]]:
    """(threshold, precision, recall), from the highest score down."""
    points = []
    for threshold in sorted({claim.score for claim in claims}, reverse=True):
        points.append((threshold, precision(claims, threshold).value, recall(expected, threshold).value))
    return points
