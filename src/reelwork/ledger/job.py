"""One job and what a move does to it. Pure: stores load the row before and write what changed after."""

from __future__ import annotations

from dataclasses import dataclass

from reelwork.errors import JobNotFound, JobTransitionRefused, ReelworkError
from reelwork.ledger.records import ALLOWED_TRANSITIONS, JobStatus
from reelwork.ledger.work import JobMove, error_text


class JobExists(ReelworkError):
    """A job with this idempotency key is there already; `job_id` is its id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} was created with this idempotency key")
        self.job_id = job_id


@dataclass(slots=True)
class JobState:
    """The part of a job row that moves touch. failed_stage: the stage that fell short and so failed the job.

    output_path, error_message: None = leave as it is.
    """

    status: JobStatus
    phase: str | None
    failed_stage: str | None = None
    output_path: str | None = None
    error_message: str | None = None

    def apply(self, move: JobMove) -> None:
        if self.status is JobStatus.FAILED and move.to is JobStatus.RUNNING:
            self.error_message = ""
            self.failed_stage = None
        self.status = move.to or self.status
        self.phase = move.phase or self.phase
        self.output_path = move.output_path or self.output_path
        self.error_message = error_text(move.error_message) if move.error_message else self.error_message


def refusal_of(job: JobState | None, move: JobMove) -> ReelworkError | None:
    if job is None:
        return JobNotFound(f"no job has the id {move.job_id}")
    wanted = move.to or move.phase
    if job.status not in move.allowed or (move.phase_was is not None and job.phase != move.phase_was):
        return JobTransitionRefused(f"job {move.job_id} is {job.status} and cannot become {wanted}")
    if move.to is not None and move.to is not job.status and move.to not in ALLOWED_TRANSITIONS[job.status]:
        return JobTransitionRefused(f"job {move.job_id} is {job.status}; no job goes from there to {move.to}")
    return None
