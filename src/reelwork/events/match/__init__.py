"""The topics of the match pipeline, in the order in which a job goes through them."""

from __future__ import annotations

from reelwork.events.event import Event
from reelwork.events.match import collection, features, matching
from reelwork.events.match.collection import (
    ImageLocation,
    Keyframe,
    MatchSubmitted,
    ProductFound,
    ProductsCollectionsCompleted,
    ProductsCollectRequest,
    ProductsFoundBatch,
    ProductsImageReady,
    ProductsImagesReadyBatch,
    VideoFound,
    VideosCollectionsCompleted,
    VideosFoundBatch,
    VideosKeyframesReady,
    VideosKeyframesReadyBatch,
    VideosSearchRequest,
)
from reelwork.events.match.features import (
    FeatureReady,
    ImageEmbeddingReady,
    ImageEmbeddingsCompleted,
    ImageKeypointReady,
    ImageKeypointsCompleted,
    MaskedKeyframe,
    ProductsImageMasked,
    ProductsImagesMaskedBatch,
    VideoEmbeddingReady,
    VideoEmbeddingsCompleted,
    VideoKeyframesMasked,
    VideoKeyframesMaskedBatch,
    VideoKeypointReady,
    VideoKeypointsCompleted,
)
from reelwork.events.match.matching import (
    BestPair,
    EvidencesGenerationCompleted,
    MatchRequest,
    MatchRequestCompleted,
    MatchResult,
    MatchVideo,
    MatchVideosBatch,
)
from reelwork.events.match.names import FRAMES_PER_MESSAGE_MAX, Source, joined

TOPICS: tuple[type[Event], ...] = (*collection.TOPICS, *features.TOPICS, *matching.TOPICS)

__all__ = [
    "FRAMES_PER_MESSAGE_MAX",
    "TOPICS",
    "BestPair",
    "EvidencesGenerationCompleted",
    "FeatureReady",
    "ImageEmbeddingReady",
    "ImageEmbeddingsCompleted",
    "ImageKeypointReady",
    "ImageKeypointsCompleted",
    "ImageLocation",
    "Keyframe",
    "MaskedKeyframe",
    "MatchRequest",
    "MatchRequestCompleted",
    "MatchResult",
    "MatchSubmitted",
    "MatchVideo",
    "MatchVideosBatch",
    "ProductFound",
    "ProductsCollectRequest",
    "ProductsCollectionsCompleted",
    "ProductsFoundBatch",
    "ProductsImageMasked",
    "ProductsImageReady",
    "ProductsImagesMaskedBatch",
    "ProductsImagesReadyBatch",
    "Source",
    "VideoEmbeddingReady",
    "VideoEmbeddingsCompleted",
    "VideoFound",
    "VideoKeyframesMasked",
    "VideoKeyframesMaskedBatch",
    "VideoKeypointReady",
    "VideoKeypointsCompleted",
    "VideosCollectionsCompleted",
    "VideosFoundBatch",
    "VideosKeyframesReady",
    "VideosKeyframesReadyBatch",
    "VideosSearchRequest",
    "joined",
]
