"""The analyze pipeline: a video in, `{frame_index, result}` for every sampled frame out."""

from __future__ import annotations

from reelwork.events import VideoSubmitted
from reelwork.pipelines.analyze.account import account_of
from reelwork.pipelines.analyze.analyzer import RANGES_STAGE, analyzer
from reelwork.pipelines.analyze.merger import merger
from reelwork.pipelines.analyze.parameters import AnalyzeParameters, check_parameters
from reelwork.pipelines.analyze.planner import planner
from reelwork.runtime import Phase, Pipeline

pipeline = Pipeline(
    name="analyze",
    parameters=AnalyzeParameters,
    submitted=VideoSubmitted,
    phases=(
        Phase(name="analysis", stages=(RANGES_STAGE,), share=0.95),
        Phase(name="results", stages=None, share=0.05),
    ),
    services=(planner, analyzer, merger),
    check=check_parameters,
    details=account_of,
)
