"""Finds the keypoints of product images and frames, raw or inside their masks, and stores them by content."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from reelwork.events import (
    ImageKeypointReady,
    ImageKeypointsCompleted,
    ProductsImageMasked,
    ProductsImageReady,
    ProductsImagesMaskedBatch,
    ProductsImagesReadyBatch,
    VideoKeyframesMasked,
    VideoKeyframesMaskedBatch,
    VideoKeypointReady,
    VideoKeypointsCompleted,
    VideosKeyframesReady,
    VideosKeyframesReadyBatch,
)
from reelwork.pipelines.match import parameters
from reelwork.pipelines.match.features import Image, Mask, feature_of
from reelwork.pipelines.match.stages import IMAGE_KEYPOINTS, VIDEO_KEYPOINTS
from reelwork.runtime import Context, Service
from reelwork.vision.keypoints import KeypointDetector, Keypoints

vision_keypoint = Service("vision-keypoint")


class KeypointExtractor:
    """The keypoints of a picture with their descriptors."""

    def __init__(self, detector: KeypointDetector) -> None:
        self._detector = detector
        self.model = detector.model

    def extract(self, image: Image, mask: Mask | None) -> bytes:
        return self._detector.detect(image, mask if mask is not None and mask.any() else None).to_bytes()

    def check(self, data: bytes) -> None:
        Keypoints.from_bytes(data)


@lru_cache(1)
def extractor() -> KeypointExtractor:
    return KeypointExtractor(KeypointDetector())


@vision_keypoint.stage(IMAGE_KEYPOINTS, announced_by=ProductsImagesReadyBatch, completes_with=ImageKeypointsCompleted)
@vision_keypoint.on(ProductsImageReady, queue="q.vision_keypoint.images", only_for=parameters.leaves_products)
def handle_products_image_ready(event: ProductsImageReady, context: Context) -> dict[str, Any]:
    return feature_of(context, extractor(), ImageKeypointReady, key=event.key)


@vision_keypoint.stage(IMAGE_KEYPOINTS, announced_by=ProductsImagesMaskedBatch, completes_with=ImageKeypointsCompleted)
@vision_keypoint.on(ProductsImageMasked, queue="q.vision_keypoint.images.masked", only_for=parameters.masks_products)
def handle_products_image_masked(event: ProductsImageMasked, context: Context) -> dict[str, Any]:
    return feature_of(context, extractor(), ImageKeypointReady, key=event.key, mask_key=event.mask_key)


@vision_keypoint.stage(VIDEO_KEYPOINTS, announced_by=VideosKeyframesReadyBatch, completes_with=VideoKeypointsCompleted)
@vision_keypoint.on(VideosKeyframesReady, queue="q.vision_keypoint.keyframes", only_for=parameters.leaves_videos)
def handle_videos_keyframes_ready(event: VideosKeyframesReady, context: Context) -> dict[str, Any]:
    assert context.asset is not None
    return feature_of(context, extractor(), VideoKeypointReady, key=event.frame(context.asset.asset_id).key)


@vision_keypoint.stage(VIDEO_KEYPOINTS, announced_by=VideoKeyframesMaskedBatch, completes_with=VideoKeypointsCompleted)
@vision_keypoint.on(VideoKeyframesMasked, queue="q.vision_keypoint.keyframes.masked", only_for=parameters.masks_videos)
def handle_video_keyframes_masked(event: VideoKeyframesMasked, context: Context) -> dict[str, Any]:
    assert context.asset is not None
    frame = event.frame(context.asset.asset_id)
    return feature_of(context, extractor(), VideoKeypointReady, key=frame.key, mask_key=frame.mask_key)
