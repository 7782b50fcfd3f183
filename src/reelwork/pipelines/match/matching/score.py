"""From what verification found to a probability: logistic models, fitted by benchmarks/match_calibration.py.

No weight goes against its sense: more of what speaks for a product never lowers its score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from reelwork.pipelines.match.matching.verification import Evidence

SCORE_MINIMUM: Final = 0.8
"""Default threshold: below it nothing is said."""
FRAME_LOGIT_MINIMUM: Final = 0.0
"""From here (an even chance) a frame counts as showing the product."""
TEXTURE_KEYPOINTS_MIN: Final = 40
"""A picture with fewer keypoints has too little texture to be verified place by place."""

SENSES: Final = (1, 1, 1, 1, -1, 1, 1)
"""Whether each trait speaks for the product or against it."""
FRAME_WEIGHTS: Final = (0.0, 0.2043, 12.3113, 9.3401, -4.4261, 4.8041, 0.0539)
FRAME_BIAS: Final = -8.4461
VIDEO_WEIGHTS: Final = (0.6427, 1.3045)
VIDEO_BIAS: Final = -0.8646
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
