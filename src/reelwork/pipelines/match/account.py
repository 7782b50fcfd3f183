"""What this pipeline adds to the account of a job: what was collected, what was of no use and why, what came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reelwork.ledger import AssetState, Job, Ledger, StageStatus
from reelwork.pipelines.match.stages import (
    IMAGE_EMBEDDINGS,
    IMAGE_KEYPOINTS,
    IMAGE_MASKS,
    MATCHES,
    PRODUCTS,
    VIDEO_EMBEDDINGS,
    VIDEO_KEYPOINTS,
    VIDEO_MASKS,
    VIDEOS,
)

REFUSED_SHOWN_MAX: Final = 100
LOOKED_AT: Final = {
    IMAGE_MASKS: "product images",
    IMAGE_EMBEDDINGS: "product images",
    IMAGE_KEYPOINTS: "product images",
    VIDEO_MASKS: "frames",
    VIDEO_EMBEDDINGS: "frames",
    VIDEO_KEYPOINTS: "frames",
}
"""The stages that look at pictures, and what those are."""
_KINDS: Final = {"products": PRODUCTS, "videos": VIDEOS}


def account_of(job: Job, ledger: Ledger) -> Mapping[str, Any]:
    """How many products with how many images and videos with how many frames were collected, and how many matches came
    out. `too_late` counts the products and videos that a replay brought after their collection had ended: they are not
    searched for, or in, and not counted. `refused` names those that could not be used, and why; `explanation` says why
    nothing could be found, or is null.
    """
    stages = {stage.stage: stage for stage in ledger.stage_status(job.job_id)}
    products, images, late_products = _collected(ledger, job.job_id, stages.get(PRODUCTS))
    videos, frames, late_videos = _collected(ledger, job.job_id, stages.get(VIDEOS))
    matches = stages.get(MATCHES)
    return {
        "products": products,
        "videos": videos,
        "images": images,
        "frames": frames,
        "too_late": {"products": late_products, "videos": late_videos},
        "matches": matches.done_weight if matches else 0,
        "refused": {kind: _refused(ledger, job.job_id, stage) for kind, stage in _KINDS.items()},
        "explanation": explanation_of(stages),
    }


def _collected(ledger: Ledger, job_id: str, stage: StageStatus | None) -> tuple[int, int, int]:
    """How many things, with how much in them, were collected in time, and how many too late."""
    if stage is None:
        return 0, 0, 0
    done, weight = stage.done, stage.done_weight
    if stage.late:
        in_time = list(ledger.assets(job_id, stage.stage, states=[AssetState.DONE], include_late=False))
        done, weight = len(in_time), sum(asset.weight for asset in in_time)
    return done, weight, stage.done - done


def explanation_of(stages: Mapping[str, StageStatus]) -> str | None:
    """Why a job that ends cleanly could not find anything; None where it could, or is not that far."""
    for kind, part, name in (("products", "images", PRODUCTS), ("videos", "frames", VIDEOS)):
        stage = stages.get(name)
        if stage is None or stage.completed_at is None:
            return None
        if stage.expected == 0:
            return f"no {kind} were found where the job was told to look"
        if stage.done == 0:
            return f"none of the {stage.failed} {kind} could be used; each has its reason"
        if stage.done_weight == 0:
            return f"the {kind} have no usable {part}"
    for name, what in LOOKED_AT.items():
        stage = stages.get(name)
        if stage is not None and stage.completed_at is not None and stage.done == 0:
            return f"none of the {what} could be looked at; stage {name} has the reasons"
    matches = stages.get(MATCHES)
    if matches is not None and matches.completed_at is not None and matches.done == 0:
        return f"none of the videos could be searched; stage {MATCHES} has the reasons"
    return None


def _refused(ledger: Ledger, job_id: str, stage: str) -> dict[str, str | None]:
    refused: dict[str, str | None] = {}
    for asset in ledger.assets(job_id, stage, states=[AssetState.FAILED]):
        refused[asset.asset_id] = asset.error
        if len(refused) == REFUSED_SHOWN_MAX:
            break
    return refused
