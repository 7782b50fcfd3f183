"""What jobs have made for people to look at: reports, pictures, lists. Shown as what it is, and run as nothing."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, HTTPException, Query, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from reelwork.api.byte_range import RangeNotSatisfiable, asked_range
from reelwork.api.job_id import JobId
from reelwork.api.models import Answer
from reelwork.api.state import AppState
from reelwork.errors import ObjectNotFound
from reelwork.ledger import JobStatus
from reelwork.objects.keys import FINAL_NAME, artifact_key, artifacts_prefix, final_key

CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
}
NOTHING_RUNS: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
"""A report is one page with everything inside: it needs no script, and asks nobody for anything."""

VIDEOS: Final = frozenset({".mp4"})
PLAYED: Final = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"

SHOWN_HERE_ONLY: Final = frozenset({".html"})
"""Another server would send a page without the headers that keep it from running."""

LINK_SECONDS: Final = 900
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    206: {"description": "The part that was asked for."},
    307: {"description": f"A link to the object store, good for {LINK_SECONDS} seconds."},
    416: {"description": "There is no such part."},
}

AsLink = Annotated[
    bool,
    Query(description="Answer with a link to the object store that anyone may follow, where the store gives links."),
]

router = APIRouter(prefix="/jobs", tags=["jobs"])


class Artifact(Answer):
    name: str
    url: str


class Artifacts(Answer):
    job_id: str
    status: JobStatus
    artifacts: list[Artifact]


@router.get("/{job_id}/artifacts")
def list_artifacts(job_id: JobId, state: AppState) -> Artifacts:
    """What there is to look at. Of a job that runs, failed or was cancelled that is what it had made until then, which
    may be a part; `status` says so.
    """
    job = state.jobs.job(job_id)
    objects, prefix = state.backends.objects, artifacts_prefix(job.job_id)
    names = sorted(key.removeprefix(prefix) for key in objects.keys(prefix))
    if objects.exists(final_key(job.job_id)):
        names.append(FINAL_NAME)
    found = [Artifact(name=name, url=f"/jobs/{job.job_id}/artifacts/{name}") for name in names]
    return Artifacts(job_id=job.job_id, status=job.status, artifacts=found)


@router.get("/{job_id}/artifacts/{name:path}", response_class=StreamingResponse, responses=ANSWERS)
def artifact(
    job_id: JobId,
    name: str,
    state: AppState,
    link: AsLink = False,
    byte_range: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header(alias="If-Range")] = None,
) -> Response:
    """One of them, streamed, or a part of it."""
    job = state.jobs.job(job_id)
    objects = state.backends.objects
    try:
        key = artifact_key(job.job_id, name)
        stored = objects.stored(key)
    except (ValueError, ObjectNotFound):
        raise HTTPException(404, f"job {job.job_id} has no artifact {name!r:.80}") from None
    kind = PurePosixPath(name).suffix
    address = objects.link(key, seconds=LINK_SECONDS) if link and kind not in SHOWN_HERE_ONLY else None
    if address is not None:
        return RedirectResponse(address, 307, headers={"Cache-Control": "no-store"})
    tag = f'"{(stored.e_tag or "").strip(chr(34))}"'
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(stored.size_bytes),
        "Content-Security-Policy": PLAYED if kind in VIDEOS else NOTHING_RUNS,
        "ETag": tag,
    }
    media_type = CONTENT_TYPES.get(kind, "application/octet-stream")
    try:
        part = asked_range(byte_range if if_range in (None, tag) else None, stored.size_bytes)
    except RangeNotSatisfiable:
        refused = {"Content-Range": f"bytes */{stored.size_bytes}"}
        raise HTTPException(416, f"the artifact has {stored.size_bytes} bytes", headers=refused) from None
    if part is None:
        return StreamingResponse(stored.chunks(0, stored.size_bytes), media_type=media_type, headers=headers)
    headers |= {"Content-Length": str(len(part)), "Content-Range": part.content_range}
    return StreamingResponse(stored.chunks(part.start, part.end), 206, media_type=media_type, headers=headers)
