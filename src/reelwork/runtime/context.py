"""What a handler is given, and what it may ask for. Whatever it asks is recorded in one work with its own outcome."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO
from uuid import UUID

from reelwork.errors import InvalidWork
from reelwork.events import Asset, Event, JobCompleted, JobFailed, new_event_id, stable_event_id
from reelwork.ledger import Job, JobMove, JobStatus, Ledger
from reelwork.objects import ObjectStore
from reelwork.objects.keys import results_key, stage_output_key


class WorkCancelled(Exception):
    """The job was cancelled while a handler ran; what it did is dropped."""


@dataclass(slots=True, kw_only=True)
class Context:
    """One call of one handler.

    attempt: unique to this call, for the keys of what it writes. asset: what the call is for, in a stage. ledger: for
    reading. new_id: for events that are not the only one of their kind. weight: what the asset stands for, once `weigh`
    has said so. Everything asked for here happens when the handler has returned, or not at all.
    """

    job: Job
    attempt: str
    objects: ObjectStore
    ledger: Ledger
    asset: Asset | None = None
    first_phase: str | None = None
    new_id: Callable[[], UUID] = new_event_id
    cancelled: threading.Event = field(default_factory=threading.Event)
    events: list[Event] = field(default_factory=list)
    moves: list[JobMove] = field(default_factory=list)
    weight: int | None = None

    def weigh(self, weight: int) -> None:
        """Says how much the asset stands for, where that is known only now."""
        self.weight = weight

    def emit(self, event: Event) -> None:
        """Publishes an event."""
        self.events.append(event)

    def start_job(self) -> None:
        """pending -> running, into the first phase."""
        allowed = frozenset({JobStatus.PENDING, JobStatus.RUNNING})
        self._move(JobMove(job_id=self.job.job_id, allowed=allowed, to=JobStatus.RUNNING, phase=self.first_phase))

    def complete_job(self, *, output_path: str) -> None:
        """running -> completed; `output_path` is the object key of the results."""
        allowed = frozenset({JobStatus.RUNNING})
        self._move(JobMove(job_id=self.job.job_id, allowed=allowed, to=JobStatus.COMPLETED, output_path=output_path))
        self.emit(JobCompleted(job_id=self.job.job_id, event_id=stable_event_id(f"{self.job.job_id}/job.completed")))

    @contextlib.contextmanager
    def results(self) -> Iterator[IO[bytes]]:
        """A file for the results of the job, which is complete when the block ends well.

        They get the key of results only when they are whole; equal ones that are there already are adopted.
        """
        job_id = self.job.job_id
        attempt_key, key = stage_output_key(job_id, "results", "merged", self.attempt), results_key(job_id)
        with self.objects.writer(attempt_key) as file:
            yield file
        self.objects.promote(attempt_key, key)
        self.objects.delete([attempt_key])
        self.complete_job(output_path=key)

    def fail_job(self, reason: str) -> None:
        """pending or running -> failed; `reason` is for a person."""
        allowed = frozenset({JobStatus.PENDING, JobStatus.RUNNING})
        self._move(JobMove(job_id=self.job.job_id, allowed=allowed, to=JobStatus.FAILED, error_message=reason))
        self.emit(JobFailed(job_id=self.job.job_id, event_id=self.new_id(), reason=reason))

    def _move(self, move: JobMove) -> None:
        if self.asset is not None:
            raise InvalidWork("the handler of a stage has one asset of a job, and cannot start or end the job")
        self.moves.append(move)

    def raise_if_cancelled(self) -> None:
        """To be called now and then in long work. Raises WorkCancelled once the job was cancelled."""
        if self.cancelled.is_set():
            raise WorkCancelled
