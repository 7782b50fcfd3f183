"""The progress of a job as server-sent events: one for the job as it is, one at each change, until it is over.

The id of an event is a digest of what it says, so a client that comes back (`Last-Event-ID`) hears nothing twice, and
one that has heard the end is told 204, which stops a browser from coming back again.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from reelwork.api.job_id import JobId
from reelwork.api.job_models import JobProgress
from reelwork.api.slots import Slots
from reelwork.api.state import AppState, State
from reelwork.errors import StoreUnavailable

POLL_SECONDS: Final = 0.5
KEEP_ALIVE_POLLS: Final = 30
KEEP_ALIVE: Final = ": still there\n\n"

router = APIRouter(prefix="/jobs", tags=["jobs"])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job as one event tells it."""

    data: str
    is_over: bool

    @property
    def event_id(self) -> str:
        return hashlib.sha256(self.data.encode()).hexdigest()[:16]

    def as_event(self) -> str:
        return f"id: {self.event_id}\ndata: {self.data}\n\n"


class EventStream(StreamingResponse):
    """Holds one of the places for event streams as long as its client listens."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[str], status_code: int = 200, *, slots: Slots) -> None:
        super().__init__(events, status_code, headers={"X-Accel-Buffering": "no"})
        self._slots = slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._slots.take():
            await super().__call__(scope, receive, send)


@router.get(
    "/{job_id}/events",
    response_model=None,
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events. The data of each is JSON: job_id, status, progress, phase, "
            "error_message, and the counters of every stage.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        204: {"description": "The job is over, and `Last-Event-ID` says that the client knows."},
    },
)
async def job_events(
    job_id: JobId,
    state: AppState,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """The progress of a job as it happens."""
    snapshot = await run_in_threadpool(take_snapshot, state, job_id)
    if snapshot.is_over and snapshot.event_id == last_event_id:
        return Response(status_code=204)
    return EventStream(changes(state, job_id, last_event_id), slots=state.event_streams)


def take_snapshot(state: State, job_id: str) -> Snapshot:
    """Raises JobNotFound."""
    job = state.jobs.job(job_id)
    stages = state.backends.ledger.stage_status(job_id)
    progress = JobProgress.of(job, state.jobs.progress(job), stages)
    return Snapshot(data=progress.model_dump_json(), is_over=job.status.is_terminal)


async def changes(state: State, job_id: str, last_event_id: str | None) -> AsyncIterator[str]:
    """Ends with the job, with the server, or when the ledger cannot be read: then the client comes back."""
    quiet_polls = 0
    while not state.event_streams_end:
        try:
            snapshot = await run_in_threadpool(take_snapshot, state, job_id)
        except StoreUnavailable:
            return
        quiet_polls += 1
        if snapshot.event_id != last_event_id:
            last_event_id = snapshot.event_id
            quiet_polls = 0
            yield snapshot.as_event()
        elif quiet_polls >= KEEP_ALIVE_POLLS:
            quiet_polls = 0
            yield KEEP_ALIVE
        if snapshot.is_over:
            return
        await state.backends.world.sleep(POLL_SECONDS)
