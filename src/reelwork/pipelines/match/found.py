"""What the services behind the collection have recorded of a job, as those behind them and its report need it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from reelwork.errors import ContractViolation
from reelwork.ledger import AssetRecord, AssetState, Ledger
from reelwork.objects import ObjectStore
from reelwork.pipelines.match.matching import Match
from reelwork.pipelines.match.stages import MATCHES

_MATCHES: TypeAdapter[list[Match]] = TypeAdapter(list[Match])


def asset_of(ledger: Ledger, job_id: str, stage: str, asset_id: str) -> AssetRecord:
    """Raises ContractViolation for one that is not done: somebody sent a message about what is not there."""
    for asset in ledger.assets(job_id, stage, states=[AssetState.DONE], prefix=asset_id):
        if asset.asset_id == asset_id:
            return asset
    raise ContractViolation(f"{stage} of job {job_id} has no {asset_id!r} that is done")


def feature_keys(ledger: Ledger, job_id: str, stage: str, *, prefix: str = "") -> dict[str, str]:
    """The keys of a stage's features, by asset."""
    done = ledger.assets(job_id, stage, states=[AssetState.DONE], prefix=prefix)
    return {asset.asset_id: asset.result["key"] for asset in done if asset.result is not None}


def matches_to_bytes(matches: list[Match]) -> bytes:
    return _MATCHES.dump_json(matches)


def matches_at(objects: ObjectStore, result: Any) -> list[Match]:
    """From the result of a searched video."""
    return _MATCHES.validate_json(objects.get(result["key"]))


def matches_of(ledger: Ledger, objects: ObjectStore, job_id: str) -> Iterator[Match]:
    """All matches of a job, video by video."""
    for video in ledger.assets(job_id, MATCHES, states=[AssetState.DONE]):
        yield from matches_at(objects, video.result)
