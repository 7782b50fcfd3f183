"""All that a job has found, as its results and its report tell it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reelwork.events import joined
from reelwork.ledger import AssetState, Job, Ledger
from reelwork.objects import ObjectStore
from reelwork.pipelines.match.account import LOOKED_AT, account_of
from reelwork.pipelines.match.collected import CollectedProduct, CollectedVideo, product_at, video_at
from reelwork.pipelines.match.evidence import Report, ReportMatch, ReportProduct, ReportVideo, report_html
from reelwork.pipelines.match.features import decoded
from reelwork.pipelines.match.found import feature_keys, matches_of
from reelwork.pipelines.match.matching import Match
from reelwork.pipelines.match.missed import not_searched
from reelwork.pipelines.match.notes import NOTES_KEPT_MAX, notes_of
from reelwork.pipelines.match.stages import EVIDENCES, IMAGE_MASKS, MATCHES, PRODUCTS, VIDEO_MASKS, VIDEOS
from reelwork.vision.masks import FALLBACK, SALIENCY_MODEL
from reelwork.vision.opencv import cv2, scaled_by_area

THUMBNAIL_SIDE_MAX: Final = 160
NOTHING_IN_THE_REST: Final = "none of the products was found in what could be decoded"

NOT_SEARCHED: Final = "this video could not be searched"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """products, videos: by id, as they were collected. titles: of videos, as their owner calls them. evidence: keys of
    pictures, by asset. searched: ids of videos of which frames were. notes: why something, or all, is missing.
    """

    job_id: str
    products: Mapping[str, CollectedProduct]
    videos: Mapping[str, CollectedVideo]
    titles: Mapping[str, str]
    matches: Sequence[Match]
    evidence: Mapping[str, str]
    searched: Collection[str]
    notes: Sequence[str]

    def results(self) -> list[dict[str, Any]]:
        """What `matches.json` says, the surest first. Seconds are rounded to milliseconds."""
        return [self._result(match) for match in self.matches]

    def _result(self, match: Match) -> dict[str, Any]:
        pair = match.best_pair
        return {
            "product": self.products[match.product_id].title,
            "video": self.titles[match.video_id],
            "score": round(match.score, 4),
            "ts": round(pair.ts, 3),
            "spans": [[round(start, 3), round(end, 3)] for start, end in match.spans],
            "best_pair": {
                "image": pair.image_id,
                "frame": pair.frame_id,
                "method": match.method,
                "inliers": pair.inliers,
            },
        }


def summary_of(job: Job, ledger: Ledger, objects: ObjectStore) -> Summary:
    products = {
        asset.asset_id: product_at(objects, asset.result)
        for asset in ledger.assets(job.job_id, PRODUCTS, states=[AssetState.DONE])
    }
    done = list(ledger.assets(job.job_id, VIDEOS, states=[AssetState.DONE]))
    videos = {asset.asset_id: video_at(objects, asset.result) for asset in done}
    titles = {asset.asset_id: asset.result["title"] for asset in done if asset.result is not None}
    matches = matches_of(ledger, objects, job.job_id)
    return Summary(
        job_id=job.job_id,
        products=products,
        videos=videos,
        titles=titles,
        matches=sorted(matches, key=lambda match: (-match.score, match.product_id, match.video_id)),
        evidence=feature_keys(ledger, job.job_id, EVIDENCES),
        searched={
            asset.asset_id
            for asset in ledger.assets(job.job_id, MATCHES, states=[AssetState.DONE])
            if asset.result is not None and asset.result["frames"]
        },
        notes=_notes(job, ledger, objects)
        + not_searched(job.job_id, ledger, products, videos)
        + _limited(_refused(products.values()) + _damaged(videos, titles)),
    )


def _refused(products: Iterable[CollectedProduct]) -> list[str]:
    return [f"{product.title}: a picture was left out: {why}" for product in products for why in product.refused]


def _damaged(videos: Mapping[str, CollectedVideo], titles: Mapping[str, str]) -> list[str]:
    """The first damage of each video."""
    return [
        f"{titles[video_id]}: {video.damage[0]}"
        + (f" (and {len(video.damage) - 1} more)" if len(video.damage) > 1 else "")
        for video_id, video in videos.items()
        if video.damage
    ]


def _limited(notes: list[str]) -> list[str]:
    more = len(notes) - NOTES_KEPT_MAX
    return notes if more <= 0 else [*notes[:NOTES_KEPT_MAX], f"and {more} more like these"]


def _notes(job: Job, ledger: Ledger, objects: ObjectStore) -> list[str]:
    """Of the job as a whole."""
    account = account_of(job, ledger)
    notes = [account["explanation"]] if account["explanation"] else []
    notes += [
        f"{stage.failed} of {stage.expected} {LOOKED_AT[stage.stage]} could not be looked at ({stage.stage})"
        for stage in ledger.stage_status(job.job_id)
        if stage.stage in LOOKED_AT and stage.failed
    ]
    notes += _cut_out_simply(job, ledger)
    for kind, refused in account["refused"].items():
        notes += [f"{kind}: {name} could not be used: {reason}" for name, reason in refused.items()]
        left_out = notes_of(objects, job.job_id, kind)
        notes += left_out["notes"]
        if left_out["count"] > len(left_out["notes"]):
            notes.append(f"{kind}: {left_out['count'] - len(left_out['notes'])} more were left out")
    return notes


def _cut_out_simply(job: Job, ledger: Ledger) -> list[str]:
    """Which pictures GrabCut cut out of their background, because the better model is not there."""
    notes = []
    for stage in (IMAGE_MASKS, VIDEO_MASKS):
        done = ledger.assets(job.job_id, stage, states=[AssetState.DONE])
        count = sum(asset.result is not None and asset.result["method"].startswith(FALLBACK) for asset in done)
        if count:
            notes.append(
                f"{count} {LOOKED_AT[stage]} were cut out of their background by GrabCut, which errs more than "
                f"{SALIENCY_MODEL}; fetch that with: reelwork models pull {SALIENCY_MODEL}"
            )
    return notes


def report_of(summary: Summary, objects: ObjectStore) -> bytes:
    """One self-contained page."""
    report = Report(
        job_id=summary.job_id,
        products=[
            ReportProduct(product_id, product.title, _thumbnail(objects.get(product.images[0].key)))
            for product_id, product in summary.products.items()
        ],
        videos=[
            ReportVideo(video_id, summary.titles[video_id], video.seconds, _remark(summary, video_id))
            for video_id, video in summary.videos.items()
        ],
        matches=[ReportMatch(match, _picture(summary, match, objects)) for match in summary.matches],
        notes=summary.notes,
    )
    return report_html(report).encode()


def _remark(summary: Summary, video_id: str) -> str:
    """Why nothing was found in a video, where it is not that nothing is there."""
    if video_id not in summary.searched:
        return NOT_SEARCHED
    return NOTHING_IN_THE_REST if summary.videos[video_id].damage else ""


def _picture(summary: Summary, match: Match, objects: ObjectStore) -> bytes | None:
    key = summary.evidence.get(joined(match.video_id, match.product_id))
    return None if key is None else objects.get(key)


def _thumbnail(data: bytes) -> bytes:
    picture = decoded(data)
    height, width = picture.shape[:2]
    factor = min(1.0, THUMBNAIL_SIDE_MAX / max(height, width))
    small = scaled_by_area(picture, max(1, round(width * factor)), max(1, round(height * factor)))
    return bytes(cv2.imencode(".jpg", small)[1])
