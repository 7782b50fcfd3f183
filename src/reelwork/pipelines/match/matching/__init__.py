"""Which product is in which video, when, and how sure that is: pure functions of features; no store and no job."""

from reelwork.pipelines.match.matching.catalogue import Catalogue
from reelwork.pipelines.match.matching.features import FrameFeatures, ImageFeatures, ProductFeatures, VideoFeatures
from reelwork.pipelines.match.matching.finder import find_matches, find_matches_in_video
from reelwork.pipelines.match.matching.match import Match, Method, Pair, PointPair
from reelwork.pipelines.match.matching.resemblance import Template
from reelwork.pipelines.match.matching.score import SCORE_MINIMUM
from reelwork.pipelines.match.matching.shared import CODE_REVISION as MARKS_REVISION
from reelwork.pipelines.match.matching.shared import Marks

__all__ = [
    "MARKS_REVISION",
    "SCORE_MINIMUM",
    "Catalogue",
    "FrameFeatures",
    "ImageFeatures",
    "Marks",
    "Match",
    "Method",
    "Pair",
    "PointPair",
    "ProductFeatures",
    "Template",
    "VideoFeatures",
    "find_matches",
    "find_matches_in_video",
]
