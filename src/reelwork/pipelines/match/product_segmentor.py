"""Says which part of a picture is the product, and announces the masked pictures once it is done."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from reelwork.events import (
    Keyframe,
    MaskedKeyframe,
    ProductsImageMasked,
    ProductsImageReady,
    ProductsImagesMaskedBatch,
    ProductsImagesReadyBatch,
    VideoKeyframesMasked,
    VideoKeyframesMaskedBatch,
    VideosKeyframesReady,
    VideosKeyframesReadyBatch,
)
from reelwork.pipelines.match import parameters
from reelwork.pipelines.match.features import Image, check_mask, decoded, mask_facts, mask_to_bytes, stored
from reelwork.pipelines.match.product_mask import VERSION, clear_detector, product_mask
from reelwork.pipelines.match.stages import IMAGE_MASKS, VIDEO_MASKS, every_outcome
from reelwork.runtime import Context, Service
from reelwork.vision.keypoints import KeypointDetector

if TYPE_CHECKING:
    from reelwork.vision.masks import ForegroundMask, ForegroundMasks

product_segmentor = Service("product-segmentor")


@lru_cache(1)
def masks() -> ForegroundMasks:
    """A process keeps its model."""
    from reelwork.vision.masks import ForegroundMasks

    return ForegroundMasks()


@lru_cache(1)
def detector() -> KeypointDetector:
    return clear_detector()


def believed(image: Image) -> ForegroundMask:
    return product_mask(image, masks(), detector())


@product_segmentor.stage(
    IMAGE_MASKS,
    announced_by=ProductsImagesReadyBatch,
    completes_with=ProductsImagesMaskedBatch,
    policy=every_outcome(),
)
@product_segmentor.on(ProductsImageReady, queue="q.product_segmentor.images", only_for=parameters.masks_products)
def handle_products_image_ready(event: ProductsImageReady, context: Context) -> dict[str, Any]:
    mask = _mask_of(event.key, context)
    context.emit(
        ProductsImageMasked(
            job_id=event.job_id,
            event_id=context.new_id(),
            product_id=event.product_id,
            image_id=event.image_id,
            key=event.key,
            mask_key=mask["key"],
        )
    )
    return mask


@product_segmentor.stage(
    VIDEO_MASKS,
    announced_by=VideosKeyframesReadyBatch,
    completes_with=VideoKeyframesMaskedBatch,
    policy=every_outcome(),
)
@product_segmentor.on(VideosKeyframesReady, queue="q.product_segmentor.keyframes", only_for=parameters.masks_videos)
def handle_videos_keyframes_ready(event: VideosKeyframesReady, context: Context) -> dict[str, Any]:
    assert context.asset is not None
    frame: Keyframe = event.frame(context.asset.asset_id)
    mask = _mask_of(frame.key, context)
    masked = MaskedKeyframe(**frame.model_dump(), mask_key=mask["key"])
    context.emit(
        VideoKeyframesMasked(job_id=event.job_id, event_id=context.new_id(), video_id=event.video_id, frames=(masked,))
    )
    return mask


def _mask_of(key: str, context: Context) -> dict[str, Any]:
    """The mask of a picture; the result of the asset says which method has made it, and what it did."""
    picture = context.objects.get(key)

    def make() -> bytes:
        return mask_to_bytes(believed(decoded(picture)))

    made = stored(context.objects, picture, f"product{VERSION}-{masks().method}", make, check=check_mask)
    return {**made, "method": masks().method, **mask_facts(context.objects.get(made["key"]))}
