"""Embeds product images and frames, raw or cut out by their masks, and stores the vectors by content."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from reelwork.events import (
    ImageEmbeddingReady,
    ImageEmbeddingsCompleted,
    ProductsImageMasked,
    ProductsImageReady,
    ProductsImagesMaskedBatch,
    ProductsImagesReadyBatch,
    VideoEmbeddingReady,
    VideoEmbeddingsCompleted,
    VideoKeyframesMasked,
    VideoKeyframesMaskedBatch,
    VideosKeyframesReady,
    VideosKeyframesReadyBatch,
)
from reelwork.pipelines.match import parameters
from reelwork.pipelines.match.cut_out import cut_out
from reelwork.pipelines.match.features import Image, Mask, feature_of, vector_from_bytes, vector_to_bytes
from reelwork.pipelines.match.stages import IMAGE_EMBEDDINGS, VIDEO_EMBEDDINGS
from reelwork.runtime import Context, Service
from reelwork.settings import Config
from reelwork.vision.embedder import Embedder, load_embedder

vision_embedding = Service("vision-embedding")


class EmbeddingExtractor:
    """One vector a picture."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.model = embedder.model

    def extract(self, image: Image, mask: Mask | None) -> bytes:
        (vector,) = self._embedder.embed([cut_out(image, mask)])
        return vector_to_bytes(vector)

    def check(self, data: bytes) -> None:
        vector_from_bytes(data)


@lru_cache(1)
def extractor() -> EmbeddingExtractor:
    """A process keeps its model."""
    return EmbeddingExtractor(load_embedder(Config().REELWORK_MATCH_ENCODER))


@vision_embedding.stage(
    IMAGE_EMBEDDINGS, announced_by=ProductsImagesReadyBatch, completes_with=ImageEmbeddingsCompleted
)
@vision_embedding.on(ProductsImageReady, queue="q.vision_embedding.images", only_for=parameters.leaves_products)
def handle_products_image_ready(event: ProductsImageReady, context: Context) -> dict[str, Any]:
    return feature_of(context, extractor(), ImageEmbeddingReady, key=event.key)


@vision_embedding.stage(
    IMAGE_EMBEDDINGS, announced_by=ProductsImagesMaskedBatch, completes_with=ImageEmbeddingsCompleted
)
@vision_embedding.on(ProductsImageMasked, queue="q.vision_embedding.images.masked", only_for=parameters.masks_products)
def handle_products_image_masked(event: ProductsImageMasked, context: Context) -> dict[str, Any]:
    return feature_of(context, extractor(), ImageEmbeddingReady, key=event.key, mask_key=event.mask_key)


@vision_embedding.stage(
    VIDEO_EMBEDDINGS, announced_by=VideosKeyframesReadyBatch, completes_with=VideoEmbeddingsCompleted
)
@vision_embedding.on(VideosKeyframesReady, queue="q.vision_embedding.keyframes", only_for=parameters.leaves_videos)
def handle_videos_keyframes_ready(event: VideosKeyframesReady, context: Context) -> dict[str, Any]:
    assert context.asset is not None
    return feature_of(context, extractor(), VideoEmbeddingReady, key=event.frame(context.asset.asset_id).key)


@vision_embedding.stage(
    VIDEO_EMBEDDINGS, announced_by=VideoKeyframesMaskedBatch, completes_with=VideoEmbeddingsCompleted
)
@vision_embedding.on(
    VideoKeyframesMasked, queue="q.vision_embedding.keyframes.masked", only_for=parameters.masks_videos
)
def handle_video_keyframes_masked(event: VideoKeyframesMasked, context: Context) -> dict[str, Any]:
    assert context.asset is not None
    frame = event.frame(context.asset.asset_id)
    return feature_of(context, extractor(), VideoEmbeddingReady, key=frame.key, mask_key=frame.mask_key)
