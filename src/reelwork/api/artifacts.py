"""What jobs have made for people to look at: reports, pictures, lists. Shown as what it is, and run as nothing."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from fastapi import APIRouter, HTTPException
from fastapi.responses import StreamingResponse

from reelwork.api.job_id import JobId
from reelwork.api.models import Answer
from reelwork.api.state import AppState
from reelwork.errors import ObjectNotFound
from reelwork.objects.keys import artifact_key, artifacts_prefix

CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
}
NOTHING_RUNS: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
"""A report is one page with everything inside: it needs no script, and asks nobody for anything."""

router = APIRouter(prefix="/jobs", tags=["jobs"])


class Artifact(Answer):
    name: str
    url: str


class Artifacts(Answer):
    job_id: str
    artifacts: list[Artifact]


@router.get("/{job_id}/artifacts")
def list_artifacts(job_id: JobId, state: AppState) -> Artifacts:
    """What there is to look at."""
    job = state.jobs.job(job_id)
    prefix = artifacts_prefix(job.job_id)
    names = sorted(key.removeprefix(prefix) for key in state.backends.objects.keys(prefix))
    found = [Artifact(name=name, url=f"/jobs/{job.job_id}/artifacts/{name}") for name in names]
    return Artifacts(job_id=job.job_id, artifacts=found)


@router.get("/{job_id}/artifacts/{name:path}", response_class=StreamingResponse)
def artifact(job_id: JobId, name: str, state: AppState) -> StreamingResponse:
    """One of them, streamed."""
    job = state.jobs.job(job_id)
    try:
        stored = state.backends.objects.chunks(artifact_key(job.job_id, name))
    except (ValueError, ObjectNotFound):
        raise HTTPException(404, f"job {job.job_id} has no artifact {name!r:.80}") from None
    kind = CONTENT_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
    return StreamingResponse(stored, media_type=kind, headers={"Content-Security-Policy": NOTHING_RUNS})
