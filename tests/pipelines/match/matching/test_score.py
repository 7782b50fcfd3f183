from __future__ import annotations

from dataclasses import replace

import pytest

from reelwork.pipelines.match.matching.score import (
    EMBEDDING_SCORE_MAX,
    FRAME_WEIGHTS,
    SENSES,
    VIDEO_WEIGHTS,
    embedding_score,
    frame_logit,
    video_score,
)
from reelwork.pipelines.match.matching.verification import Evidence

EVIDENCE = Evidence(agreeing=30, contradicting=10, coverage=0.5, seen=0.6, contradiction=0.1, spread=0.4, likeness=0.93)


@pytest.mark.parametrize(
    "more",
    [
        replace(EVIDENCE, agreeing=60),
        replace(EVIDENCE, contradicting=2),
        replace(EVIDENCE, coverage=0.8),
        replace(EVIDENCE, seen=0.9),
        replace(EVIDENCE, contradiction=0.0),
        replace(EVIDENCE, spread=0.8),
        replace(EVIDENCE, likeness=0.97),
    ],
)
def test_what_speaks_for_a_product_never_lowers_its_score(more: Evidence) -> None:
    assert frame_logit(more) >= frame_logit(EVIDENCE)


def test_no_weight_goes_against_its_sense() -> None:
    assert all(weight * sense >= 0 for weight, sense in zip(FRAME_WEIGHTS, SENSES, strict=True))
    assert all(weight >= 0 for weight in VIDEO_WEIGHTS)


def test_a_video_is_as_sure_as_its_best_frame_and_a_little_surer_by_others() -> None:
    assert video_score([4.0, -3.0]) == video_score([4.0])
    assert video_score([4.0, 3.0, 3.0]) >= video_score([4.0])
    assert video_score([5.0]) > video_score([4.0])
    assert 0 <= video_score([-800.0]) < video_score([800.0]) <= 1


def test_likeness_as_a_whole_is_never_sure() -> None:
    assert embedding_score(0.3) < embedding_score(0.9) <= embedding_score(1.0) <= EMBEDDING_SCORE_MAX
