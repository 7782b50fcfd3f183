"""Draws a picture for every match that shows why it is one, and at the end the report of the job."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from reelwork.events import EvidencesGenerationCompleted, MatchRequestCompleted, MatchResult, joined
from reelwork.objects.keys import artifact_key, stage_output_key
from reelwork.pipelines.match.collected import product_at, video_at
from reelwork.pipelines.match.evidence import evidence_picture
from reelwork.pipelines.match.features import decoded
from reelwork.pipelines.match.found import asset_of, matches_at
from reelwork.pipelines.match.stages import EVIDENCES, MATCHES, PRODUCTS, VIDEOS, every_outcome
from reelwork.pipelines.match.summary import report_of, summary_of
from reelwork.runtime import Context, Service

evidence_builder = Service("evidence-builder")


@evidence_builder.stage(
    EVIDENCES,
    announced_by=MatchRequestCompleted,
    completes_with=EvidencesGenerationCompleted,
    policy=every_outcome(),
)
@evidence_builder.on(MatchResult, queue="q.evidence_builder.results")
def handle_match_result(event: MatchResult, context: Context) -> dict[str, Any]:
    assert context.asset is not None
    ledger, objects, job_id = context.ledger, context.objects, event.job_id
    product = product_at(objects, asset_of(ledger, job_id, PRODUCTS, event.product_id).result)
    video_asset = asset_of(ledger, job_id, VIDEOS, event.video_id)
    assert video_asset.result is not None
    video = video_at(objects, video_asset.result)
    found = matches_at(objects, asset_of(ledger, job_id, MATCHES, event.video_id).result)
    match = next(match for match in found if match.product_id == event.product_id)
    image_key = next(image.key for image in product.images if image.image_id == event.best_pair.image_id)
    frame_key = next(frame.key for frame in video.frames if frame.frame_id == event.best_pair.frame_id)
    picture = evidence_picture(
        decoded(objects.get(image_key)),
        decoded(objects.get(frame_key)),
        match,
        product_title=product.title,
        video_title=video_asset.result["title"],
    )
    name = hashlib.sha256(context.asset.asset_id.encode()).hexdigest()
    key = stage_output_key(job_id, EVIDENCES, name, context.attempt)
    objects.put(key, picture)
    return {"key": key}


@evidence_builder.on(EvidencesGenerationCompleted, queue="q.evidence_builder.generation.completed")
def handle_evidences_generation_completed(event: EvidencesGenerationCompleted, context: Context) -> None:
    objects, job_id = context.objects, event.job_id
    summary = summary_of(context.job, context.ledger, objects)
    for number, match in enumerate(summary.matches):
        picture_key = summary.evidence.get(joined(match.video_id, match.product_id))
        if picture_key is not None:
            objects.put(artifact_key(job_id, f"evidence/{number:05d}.jpg"), objects.get(picture_key))
    document = _json(summary.results())
    objects.put(artifact_key(job_id, "matches.json"), document)
    objects.put(artifact_key(job_id, "notes.json"), _json(summary.notes))
    objects.put(artifact_key(job_id, "report.html"), report_of(summary, objects))
    with context.results() as file:
        file.write(document)


def _json(document: object) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
