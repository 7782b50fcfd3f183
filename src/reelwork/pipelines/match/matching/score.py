"""From what verification found to a probability: logistic models, fitted by benchmarks/match_calibration.py.

No weight goes against its sense: more of what speaks for a product never lowers its score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from reelwork.pipelines.match.matching.resemblance import Resemblance
from reelwork.pipelines.match.matching.verification import Evidence

SCORE_MINIMUM: Final = 0.8
"""Default threshold: below it nothing is said."""
FRAME_LOGIT_MINIMUM: Final = 0.0
"""From here (an even chance) a frame counts as showing the product."""
STRONG_LOGIT_MINIMUM: Final = 4.0
"""From here keypoints alone have decided, and nobody looks at pixels."""
TEXTURE_KEYPOINTS_MIN: Final = 40
"""A picture with fewer keypoints has too little texture to be verified place by place."""

SENSES: Final = (1, 1, 1, 1, -1, 1, 1)
"""Whether each trait speaks for the product or against it."""
FRAME_WEIGHTS: Final = (0.0, 3.5024, 8.8578, 7.7667, -7.4092, 1.524, 21.6413)
FRAME_BIAS: Final = -23.6703
CLOSE_SENSES: Final = (1, 1, 1, 1, 1, 1, 1)
CLOSE_WEIGHTS: Final = (0.0, 11.7336, 0.6494, 7.6828, 0.0, 2.9337, 18.4357)
CLOSE_BIAS: Final = -9.7724
VIDEO_WEIGHTS: Final = (0.6323, 0.8227)
VIDEO_BIAS: Final = -0.6443
EMBEDDING_WEIGHT: Final = 10.0
EMBEDDING_BIAS: Final = -9.0
EMBEDDING_SCORE_MAX: Final = 0.45
"""Below the default threshold, because the two numbers above are not fitted on anything yet: a rank, no probability."""


def traits(evidence: Evidence) -> tuple[float, ...]:
    """What the frame model weighs."""
    return (
        math.log(evidence.agreeing),
        evidence.agreeing / (evidence.agreeing + evidence.contradicting + 4),
        evidence.coverage,
        evidence.seen,
        evidence.contradiction,
        math.sqrt(evidence.spread),
        evidence.likeness,
    )


def frame_logit(evidence: Evidence) -> float:
    """Log-odds that one frame shows the product."""
    return FRAME_BIAS + sum(weight * trait for weight, trait in zip(FRAME_WEIGHTS, traits(evidence), strict=True))


def close_traits(evidence: Evidence, found: Resemblance) -> tuple[float, ...]:
    """What the model of a frame weighs that was looked at closely; colours against the product's own count twice."""
    against = min(found.colour, 0.0)
    return (*traits(evidence)[:2], found.colour, found.edges, found.parts, found.alike, against)


def close_logit(evidence: Evidence, found: Resemblance) -> float:
    """Log-odds that one frame shows the product, by pixels too."""
    given = zip(CLOSE_WEIGHTS, close_traits(evidence, found), strict=True)
    return CLOSE_BIAS + sum(weight * trait for weight, trait in given)


def video_traits(logits: Sequence[float]) -> tuple[float, float]:
    """The best frame, and how many others say the same: frames of one video err together, so they count little."""
    return max(logits), math.log(max(1, sum(logit >= FRAME_LOGIT_MINIMUM for logit in logits)))


def video_score(logits: Sequence[float]) -> float:
    """The probability that the product is in the video, by the logits of the frames in which it verified."""
    return _probability(
        VIDEO_BIAS + sum(weight * trait for weight, trait in zip(VIDEO_WEIGHTS, video_traits(logits), strict=True))
    )


def embedding_score(cosine: float) -> float:
    """For a picture too plain to verify, by its cosine with the frame most like it. Not calibrated: it only ranks."""
    return min(EMBEDDING_SCORE_MAX, _probability(EMBEDDING_BIAS + EMBEDDING_WEIGHT * cosine))


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
