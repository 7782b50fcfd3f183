from __future__ import annotations

from dataclasses import replace

import pytest

from reelwork.pipelines.match.matching.resemblance import NOTHING, Resemblance
from reelwork.pipelines.match.matching.score import (
    CLOSE_SENSES,
    CLOSE_WEIGHTS,
    EMBEDDING_SCORE_MAX,
    FRAME_WEIGHTS,
    SENSES,
    VIDEO_WEIGHTS,
    close_logit,
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


@pytest.mark.parametrize("more", [{"colour": 0.9}, {"edges": 0.9}, {"parts": 0.9}, {"alike": 0.9}])
def test_pixels_that_agree_never_lower_it(more: dict[str, float]) -> None:
    seen = Resemblance(colour=0.5, edges=0.5, parts=0.5, alike=0.5)
    assert close_logit(EVIDENCE, replace(seen, **more)) >= close_logit(EVIDENCE, seen)
    assert close_logit(EVIDENCE, Resemblance(0.9, 0.9, 0.9, 0.9)) > close_logit(EVIDENCE, NOTHING)


def test_no_weight_goes_against_its_sense() -> None:
    assert all(weight * sense >= 0 for weight, sense in zip(FRAME_WEIGHTS, SENSES, strict=True))
    assert all(weight * sense >= 0 for weight, sense in zip(CLOSE_WEIGHTS, CLOSE_SENSES, strict=True))
    assert all(weight >= 0 for weight in VIDEO_WEIGHTS)


def test_a_video_is_as_sure_as_its_best_frame_and_a_little_surer_by_others() -> None:
    assert video_score([4.0, -3.0]) == video_score([4.0])
    assert video_score([4.0, 3.0, 3.0]) >= video_score([4.0])
    assert video_score([5.0]) > video_score([4.0])
    assert 0 <= video_score([-800.0]) < video_score([800.0]) <= 1


def test_likeness_as_a_whole_is_never_sure() -> None:
    assert embedding_score(0.3) < embedding_score(0.9) <= embedding_score(1.0) <= EMBEDDING_SCORE_MAX
