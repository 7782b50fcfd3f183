"""Which product is in which video, when, and how sure that is: pure functions of features; no store, job or pixels."""

from reelwork.pipelines.match.matching.catalogue import Catalogue
from reelwork.pipelines.match.matching.features import FrameFeatures, ImageFeatures, ProductFeatures, VideoFeatures
from reelwork.pipelines.match.matching.finder import find_matches, find_matches_in_video
from reelwork.pipelines.match.matching.match import Match, Method, Pair, PointPair
from reelwork.pipelines.match.matching.score import SCORE_MINIMUM

__all__ = [
    "SCORE_MINIMUM",
    "Catalogue",
    "FrameFeatures",
    "ImageFeatures",
    "Match",
    "Method",
    "Pair",
    "PointPair",
    "ProductFeatures",
    "VideoFeatures",
    "find_matches",
    "find_matches_in_video",
]
