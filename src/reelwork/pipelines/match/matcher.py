"""Searches every video for every product, one video an asset, by the features that the vision services have stored."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import Any

from reelwork.errors import ContractViolation, ObjectNotFound
from reelwork.events import (
    BestPair,
    MatchRequest,
    MatchRequestCompleted,
    MatchResult,
    MatchVideo,
    MatchVideosBatch,
    joined,
)
from reelwork.ledger import AssetState, Ledger
from reelwork.objects import ObjectStore
from reelwork.objects.keys import stage_output_key
from reelwork.pipelines.match.collected import product_at, video_at
from reelwork.pipelines.match.features import vector_from_bytes
from reelwork.pipelines.match.found import asset_of, feature_keys, matches_to_bytes
from reelwork.pipelines.match.marks import catalogue_with_marks
from reelwork.pipelines.match.matching import (
    Catalogue,
    FrameFeatures,
    ImageFeatures,
    ProductFeatures,
    VideoFeatures,
    find_matches_in_video,
)
from reelwork.pipelines.match.pixels import picture_at, template_at
from reelwork.pipelines.match.stages import (
    IMAGE_EMBEDDINGS,
    IMAGE_KEYPOINTS,
    IMAGE_MASKS,
    MATCHES,
    PRODUCTS,
    VIDEO_EMBEDDINGS,
    VIDEO_KEYPOINTS,
    VIDEOS,
    every_outcome,
)
from reelwork.runtime import Context, Service
from reelwork.vision.keypoints import Keypoints

matcher = Service("matcher")


@matcher.on(MatchRequest, queue="q.matcher.request")
def handle_match_request(event: MatchRequest, context: Context) -> None:
    """Late ones too: the conductor has waited for them.

    The catalogue is made ready before the first video goes out, so that one process does it, and the others read it.
    Where it cannot be, each video says so of itself.
    """
    with contextlib.suppress(ObjectNotFound, ContractViolation):
        catalogue_of(event.job_id, context.ledger, context.objects)
    videos = [asset.asset_id for asset in context.ledger.assets(event.job_id, VIDEOS, states=[AssetState.DONE])]
    context.emit(MatchVideosBatch(job_id=event.job_id, event_id=context.new_id(), total_videos=len(videos)))
    for number, video_id in enumerate(videos):
        context.emit(MatchVideo(job_id=event.job_id, event_id=context.new_id(), number=number, video_id=video_id))


@matcher.stage(MATCHES, announced_by=MatchVideosBatch, completes_with=MatchRequestCompleted, policy=every_outcome())
@matcher.on(MatchVideo, queue="q.matcher.videos")
def handle_match_video(event: MatchVideo, context: Context) -> dict[str, Any]:
    catalogue = catalogue_of(event.job_id, context.ledger, context.objects)
    video = _video(event, context)
    matches = find_matches_in_video(catalogue, video)
    key = stage_output_key(event.job_id, MATCHES, f"{event.number:06d}", context.attempt)
    context.objects.put(key, matches_to_bytes(matches))
    for match in matches:
        context.emit(
            MatchResult(
                job_id=event.job_id,
                event_id=context.new_id(),
                product_id=match.product_id,
                video_id=match.video_id,
                best_pair=BestPair(image_id=match.best_pair.image_id, frame_id=match.best_pair.frame_id),
                score=match.score,
                ts=match.best_pair.ts,
            )
        )
    context.weigh(len(matches))
    images = sum(len(product.images) for product in catalogue.products)
    return {"key": key, "matches": len(matches), "frames": len(video.frames), "images": images}


def catalogue_of(job_id: str, ledger: Ledger, objects: ObjectStore) -> Catalogue:
    """The products of a job that have features, ready to be looked for."""
    done = {stage.stage: stage.done for stage in ledger.stage_status(job_id)}
    return _catalogue(job_id, done.get(IMAGE_EMBEDDINGS, 0), done.get(IMAGE_KEYPOINTS, 0), ledger, objects)


@lru_cache(1)
def _catalogue(job_id: str, _embedded: int, _described: int, ledger: Ledger, objects: ObjectStore) -> Catalogue:
    """A process mostly searches one video of a job after another; when there are more features, they are read anew."""
    embeddings = feature_keys(ledger, job_id, IMAGE_EMBEDDINGS)
    keypoints = feature_keys(ledger, job_id, IMAGE_KEYPOINTS)
    masks = feature_keys(ledger, job_id, IMAGE_MASKS)
    products = []
    sources = []
    for asset in ledger.assets(job_id, PRODUCTS, states=[AssetState.DONE]):
        found = {
            image: asset_id
            for image in product_at(objects, asset.result).images
            if (asset_id := joined(asset.asset_id, image.image_id)) in embeddings.keys() & keypoints.keys()
        }
        images = [
            ImageFeatures(
                image_id=image.image_id,
                embedding=vector_from_bytes(objects.get(embeddings[asset_id])),
                keypoints=Keypoints.from_bytes(objects.get(keypoints[asset_id])),
                template=template_at(objects, image.key, masks.get(asset_id)),
            )
            for image, asset_id in found.items()
        ]
        if images:
            products.append(ProductFeatures(product_id=asset.asset_id, images=images))
            sources.append([keypoints[asset_id] for asset_id in found.values()])
    return catalogue_with_marks(products, sources, objects)


def _video(event: MatchVideo, context: Context) -> VideoFeatures:
    """The frames of a video that have both of their features."""
    prefix = joined(event.video_id, "")
    embeddings = feature_keys(context.ledger, event.job_id, VIDEO_EMBEDDINGS, prefix=prefix)
    keypoints = feature_keys(context.ledger, event.job_id, VIDEO_KEYPOINTS, prefix=prefix)
    asset = asset_of(context.ledger, event.job_id, VIDEOS, event.video_id)
    video = video_at(context.objects, asset.result)
    frames = [
        FrameFeatures(
            frame_id=frame.frame_id,
            ts=frame.ts,
            embedding=vector_from_bytes(context.objects.get(embeddings[asset_id])),
            keypoints=Keypoints.from_bytes(context.objects.get(keypoints[asset_id])),
            picture=picture_at(context.objects, frame.key),
        )
        for frame in video.frames
        if (asset_id := joined(event.video_id, frame.frame_id)) in embeddings.keys() & keypoints.keys()
    ]
    return VideoFeatures(video_id=event.video_id, frames=frames, seconds=video.seconds)
