"""What the ledger tells: frozen snapshots of jobs, stages, assets, completions and what went wrong.

Times are epoch ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class JobStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})

# The only moves a job may make; `failed -> running` is a replay's.
ALLOWED_TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.RUNNING}),
    JobStatus.CANCELLED: frozenset(),
}


class AssetState(StrEnum):
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"


class Known(NamedTuple):
    """What the ledger already has of an asset."""

    state: AssetState
    attempts: int
    late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    job_id: str
    status: JobStatus
    created_at: int
    updated_at: int
    input_path: str
    output_path: str | None
    error_message: str | None
    pipeline: str
    phase: str | None
    parameters: Mapping[str, Any]
    idempotency_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A stage is complete: the frozen payload of its one event, and the topic it goes out on.

    processed_weight: the weights of the processed assets together.
    """

    job_id: str
    stage: str
    topic: str
    event_id: str
    total_assets: int
    processed_assets: int
    failed_assets: int
    has_partial_completion: bool
    watermark_ttl: float | None
    reason: str
    processed_weight: int = 0

    def payload(self) -> dict[str, Any]:
        """Exactly the fields of the completion payload."""
        return {
            "job_id": self.job_id,
            "event_id": self.event_id,
            "total_assets": self.total_assets,
            "processed_assets": self.processed_assets,
            "failed_assets": self.failed_assets,
            "has_partial_completion": self.has_partial_completion,
            "watermark_ttl": self.watermark_ttl,
            "reason": self.reason,
        }


class Recorded(list[Completion]):
    """The completions that one work fired. settled: jobs of which a stage has now the last of its outcomes, after it
    had completed without them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.settled: set[str] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """A stage now. Its counters go on living after the completion, which is a snapshot.

    expected: None until announced. late: assets recorded after the completion (counted in done or failed too).
    done_weight: sum of the weights of the done assets. progress: settled fraction, 0..1, never falls.
    """

    job_id: str
    stage: str
    expected: int | None
    done: int
    failed: int
    late: int
    watermark_at: int | None
    completion: Completion | None
    done_weight: int = 0
    progress: float = 0.0
    created_at: int = 0
    completed_at: int | None = None
    closed_at: int | None = None

    @property
    def is_settled(self) -> bool:
        """Every announced asset has its outcome."""
        return self.expected is not None and self.done + self.failed >= self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRecord:
    asset_id: str
    state: AssetState
    weight: int
    late: bool
    attempts: int
    result: Mapping[str, Any] | None
    error: str | None
    recorded_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncementConflict:
    """An announcement that shrank a stage, or came after it had completed: recorded, and without effect."""

    job_id: str
    stage: str
    expected: int | None
    announced: int
    recorded_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that failed for good. Replaying it sends it to its own queue again."""

    dead_letter_id: int
    job_id: str
    queue: str
    stage: str | None
    topic: str
    event_id: str
    body: str
    error: str
    attempts: int
    created_at: int
    replayed_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """What a queue in the ledger's database holds of one job.

    waiting: never taken, or given back. abandoned: in the hands of a worker whose lease has ended. pausing: waiting
    for another attempt. oldest_waiting_at: since when one could have been taken. is_worked_on: a worker has a message
    of this queue in hand, of whatever job.
    """

    queue: str
    waiting: int
    abandoned: int
    pausing: int
    in_hand: int
    oldest_waiting_at: int | None
    is_worked_on: bool

    @property
    def takeable(self) -> int:
        return self.waiting + self.abandoned


class Lease(NamedTuple):
    """What one process at a time may do. owner: empty where it is free. beats: how often it was taken or renewed."""

    owner: str = ""
    beats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """An event on its way. `queue` is set where it goes to one queue only (a replay), else it goes to its topic."""

    sequence: int
    event_id: str
    job_id: str
    topic: str
    queue: str | None
    is_replay: bool
    body: str
    created_at: int
    published_at: int | None
    finished_at: int | None
    publications: int
