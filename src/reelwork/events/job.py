"""The end of a job, of whatever pipeline."""

from __future__ import annotations

from reelwork.events.event import IdentifiedEvent


class JobCompleted(IdentifiedEvent):
    topic = "job.completed"


class JobFailed(IdentifiedEvent):
    topic = "job.failed"

    reason: str


class JobCancelled(IdentifiedEvent):
    topic = "job.cancelled"

    reason: str


TOPICS = (JobCompleted, JobFailed, JobCancelled)
