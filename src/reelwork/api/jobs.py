"""Jobs with everything there is to say of them: listed, made, looked at, cancelled."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from reelwork.api.job_id import JobId, checked_job_id
from reelwork.api.job_models import JobBody, JobPage, JobSummary
from reelwork.api.stage_models import JobStages
from reelwork.api.state import AppState
from reelwork.api.submission import FORM_OR_JSON, IdempotencyKey, submit_any
from reelwork.ledger import JobStatus

JOBS_PER_PAGE: Final = 50
JOBS_PER_PAGE_MAX: Final = 200

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("")
def list_jobs(
    state: AppState,
    status: Annotated[list[JobStatus] | None, Query(description="May be given more than once.")] = None,
    pipeline: str | None = None,
    limit: Annotated[int, Query(ge=1, le=JOBS_PER_PAGE_MAX)] = JOBS_PER_PAGE,
    before: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> JobPage:
    """Jobs, newest first."""
    if before is not None:
        checked_job_id(before)
    found = state.jobs.list(statuses=status or (), pipeline=pipeline, before=before, limit=limit + 1)
    jobs = [JobSummary.of(job, progress) for job, progress in found[:limit]]
    return JobPage(jobs=jobs, next=jobs[-1].job_id if len(found) > limit else None)


@router.post("", status_code=201, openapi_extra=FORM_OR_JSON)
async def create_job(
    request: Request, response: Response, state: AppState, idempotency_key: IdempotencyKey = None
) -> JobBody:
    """Takes in a video like /video/submit, the files of another pipeline in the fields that it names, or its parameters
    alone as JSON; says everything of the job. 200 when an earlier submit made it.
    """
    submission = await submit_any(request, state, idempotency_key)
    response.headers["Location"] = f"/jobs/{submission.job_id}"
    if not submission.is_new:
        response.status_code = 200
    return JobBody.of_detail(await run_in_threadpool(state.jobs.detail, submission.job_id))


@router.get("/{job_id}")
def job_detail(job_id: JobId, state: AppState) -> JobBody:
    """A job with its phases and stages, and what went wrong."""
    return JobBody.of_detail(state.jobs.detail(job_id))


@router.get("/{job_id}/stages")
async def job_stages(job_id: JobId, state: AppState) -> JobStages:
    """The stages of a job, what keeps each of them open, and what the job waits for."""
    return JobStages.of(await state.standings.of(job_id))


@router.post("/{job_id}/cancel")
def cancel_job(job_id: JobId, state: AppState) -> JobSummary:
    """Cancels a job. One that is cancelled already stays so; one that is over otherwise is a 409."""
    job = state.jobs.cancel(job_id)
    return JobSummary.of(job, state.jobs.progress(job))
