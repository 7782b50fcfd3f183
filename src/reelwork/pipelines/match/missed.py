"""What a job has collected and yet not searched: a result must never look more complete than it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from reelwork.ledger import AssetState, Ledger
from reelwork.pipelines.match.collected import CollectedProduct, CollectedVideo
from reelwork.pipelines.match.stages import (
    EVIDENCES,
    IMAGE_EMBEDDINGS,
    IMAGE_KEYPOINTS,
    IMAGE_MASKS,
    MATCHES,
    VIDEO_EMBEDDINGS,
    VIDEO_KEYPOINTS,
    VIDEO_MASKS,
)

OF_IMAGES = (IMAGE_MASKS, IMAGE_EMBEDDINGS, IMAGE_KEYPOINTS)
OF_FRAMES = (VIDEO_MASKS, VIDEO_EMBEDDINGS, VIDEO_KEYPOINTS)
WAITING_TIME = "REELWORK_SETTLE_SECONDS"


def not_searched(
    job_id: str, ledger: Ledger, products: Mapping[str, CollectedProduct], videos: Mapping[str, CollectedVideo]
) -> list[str]:
    """A sentence for each video that could not be searched, for the images and frames that came too late to be, and
    for the matches without a picture. What could not be looked at has sentences of its own.
    """
    return list(_sentences(job_id, ledger, products, videos))


def _sentences(
    job_id: str, ledger: Ledger, products: Mapping[str, CollectedProduct], videos: Mapping[str, CollectedVideo]
) -> Iterator[str]:
    for asset in ledger.assets(job_id, MATCHES, states=[AssetState.FAILED]):
        yield f"videos: {asset.asset_id} could not be searched: {asset.error}"
    searched = {
        asset.asset_id: asset.result
        for asset in ledger.assets(job_id, MATCHES, states=[AssetState.DONE])
        if asset.result is not None and asset.asset_id in videos
    }
    if searched:
        total = sum(len(product.images) for product in products.values())
        looked_for = min(result["images"] for result in searched.values())
        yield from _late("images", total, looked_for, _failed(job_id, ledger, OF_IMAGES, products))
        total = sum(len(videos[video_id].frames) for video_id in searched)
        looked_at = sum(result["frames"] for result in searched.values())
        yield from _late("frames", total, looked_at, _failed(job_id, ledger, OF_FRAMES, searched))
    for stage in ledger.stage_status(job_id):
        if stage.stage == EVIDENCES and stage.failed:
            yield f"{stage.failed} of {stage.expected} matches have no picture ({EVIDENCES})"


def _late(what: str, total: int, used: int, failed: int) -> Iterator[str]:
    if total - used > failed:
        yield (
            f"{total - used - failed} of {total} {what} came too late to be searched; submit the job again, "
            f"or let {WAITING_TIME} be longer"
        )


def _failed(job_id: str, ledger: Ledger, stages: Iterable[str], owners: Iterable[str]) -> int:
    """How many images or frames of these products or videos have failed in one stage or several."""
    owned = set(owners)
    failed = {
        asset.asset_id
        for stage in stages
        for asset in ledger.assets(job_id, stage, states=[AssetState.FAILED])
        if asset.asset_id.partition("/")[0] in owned
    }
    return len(failed)
