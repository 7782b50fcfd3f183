"""The three endpoints of a video: submit, status, results. Their bodies are a contract and never grow a field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse

from reelwork.api.job_id import JobId
from reelwork.api.models import Submitted, VideoResults, VideoStatus
from reelwork.api.state import AppState
from reelwork.api.submission import FORM, IdempotencyKey, submit
from reelwork.ledger import Job, JobStatus

router = APIRouter(prefix="/video", tags=["video"])


@router.post("/submit", openapi_extra=FORM)
async def submit_video(request: Request, state: AppState, idempotency_key: IdempotencyKey = None) -> Submitted:
    """Takes in a video and makes a job of it."""
    submission = await submit(request, state, idempotency_key)
    return Submitted(job_id=submission.job_id)


@router.get("/status/{job_id}")
def video_status(job_id: JobId, state: AppState) -> VideoStatus:
    """How far a job is. A cancelled one shows as failed."""
    job = state.jobs.job(job_id)
    status: Any = "failed" if job.status is JobStatus.CANCELLED else job.status.value
    return VideoStatus(job_id=job.job_id, status=status, progress=state.jobs.progress(job))


@router.get("/results/{job_id}", response_model=VideoResults)
def video_results(job_id: JobId, state: AppState) -> StreamingResponse:
    """The results of a completed job, streamed; 404 until then."""
    job = state.jobs.job(job_id)
    if job.output_path is None or job.status is not JobStatus.COMPLETED:
        raise HTTPException(404, _why_no_results(job))
    stored = state.backends.objects.chunks(job.output_path)
    return StreamingResponse(_results(job_id, stored), media_type="application/json")


def _results(job_id: str, array: Iterator[bytes]) -> Iterator[bytes]:
    """array: of the stored object, which is a JSON array."""
    yield f'{{"job_id":{json.dumps(job_id)},"results":'.encode()
    yield from array
    yield b"}"


def _why_no_results(job: Job) -> str:
    if job.status is JobStatus.COMPLETED:
        return f"job {job.job_id} is completed and has written no results"
    if not job.status.is_terminal:
        return f"job {job.job_id} is {job.status}; its results are there when it is completed"
    reason = f": {job.error_message}" if job.error_message else ""
    return f"job {job.job_id} is {job.status} and has no results{reason}"
