"""The stores that must pass this suite. A new one joins by one line in STORES."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from reelwork.ledger import (
    AssetOutcome,
    AssetState,
    BaseJobProgressManager,
    Completion,
    CompletionPolicy,
    JobMove,
    JobProgressManager,
    JobStatus,
    Ledger,
    NewDeadLetter,
    NewJob,
    StageRule,
    StageStatus,
    Work,
    open_ledger,
)
from tests.clock import ManualClock
from tests.dynamodb import fresh_tables
from tests.postgresql import fresh_database


@contextmanager
def sqlite_file(folder: Path, name: str) -> Iterator[str]:
    yield f"sqlite:///{folder}/{name}.db"


def postgresql_database(_folder: Path, name: str) -> AbstractContextManager[str]:
    """`reelwork` has its schema already, which saves time; any other is to be made as an empty one is."""
    return fresh_database(migrated=name == "reelwork")


def dynamodb_tables(_folder: Path, name: str) -> AbstractContextManager[str]:
    """`reelwork` has been used before, as a rule; any other is made when it is opened."""
    return fresh_tables(made=name == "reelwork")


STORES: Mapping[str, Callable[[Path, str], AbstractContextManager[str]]] = {
    "sqlite": sqlite_file,
    "postgresql": postgresql_database,
    "dynamodb": dynamodb_tables,
}

SQL_STORES = ("postgresql", "sqlite")
"""Those that hold queues, too."""
EMULATED_ASSETS_MAX = 1_600  # moto takes half a millisecond for an item
TTL_SECONDS = 900.0
EVERYTHING = CompletionPolicy(Decimal(100), TTL_SECONDS)
HALF = CompletionPolicy(Decimal(50), TTL_SECONDS)
NEEDS_ALL = CompletionPolicy(Decimal(100), TTL_SECONDS, allow_partial=False)
STAGES = BaseJobProgressManager(
    policy=EVERYTHING, stages={"halves": StageRule(policy=HALF), "segments": StageRule(policy=NEEDS_ALL)}
)
ALIVE = frozenset({JobStatus.PENDING, JobStatus.RUNNING})


@dataclass(frozen=True)
class Store:
    url: str
    clock: ManualClock = field(default_factory=ManualClock)

    def open(self) -> Ledger:
        return open_ledger(self.url, clock=self.clock)

    @property
    def is_emulated(self) -> bool:
        return self.url.startswith("dynamodb:")

    def many(self, number: int) -> int:
        """So many assets, or as many as this store takes in a few seconds."""
        return min(number, EMULATED_ASSETS_MAX) if self.is_emulated else number

    def often(self, times: int) -> int:
        """So often, or a twentieth of it where everything takes twenty times as long."""
        return max(times // 20, 3) if self.is_emulated else times


def manager(ledger: Ledger, policy: CompletionPolicy = EVERYTHING) -> JobProgressManager:
    return JobProgressManager(ledger, policy=policy, clock=ledger.clock)


def announced(stage: str, expected: int, *, job_id: str = "job", **work: Any) -> Work:
    return Work(stages=[STAGES.announcement(job_id, stage, expected)], **work)


def done(stage: str, *asset_ids: str, job_id: str = "job", **work: Any) -> Work:
    return Work(stages=[STAGES.outcomes(job_id, stage, [AssetOutcome(asset_id) for asset_id in asset_ids])], **work)


def failed(stage: str, *asset_ids: str, job_id: str = "job", error: str | None = None, **work: Any) -> Work:
    outcomes = [AssetOutcome(asset_id, AssetState.FAILED, error=error) for asset_id in asset_ids]
    return Work(stages=[STAGES.outcomes(job_id, stage, outcomes)], **work)


def started(stage: str, *asset_ids: str, job_id: str = "job") -> Work:
    return Work(stages=[STAGES.started(job_id, stage, asset_ids)])


def expiry(stage: str, *, job_id: str = "job") -> Work:
    return Work(stages=[STAGES.expiry(job_id, stage)])


def new_job(job_id: str = "job", *, key: str | None = None) -> NewJob:
    return NewJob(job_id=job_id, pipeline="analyze", input_path="input/source.mp4", idempotency_key=key)


def moved(to: JobStatus, *, job_id: str = "job", allowed: frozenset[JobStatus] = ALIVE, **fields: Any) -> Work:
    return Work(moves=[JobMove(job_id=job_id, allowed=allowed, to=to, **fields)])


def running_job(ledger: Ledger, job_id: str = "job") -> None:
    ledger.commit(Work(new_job=new_job(job_id)))
    ledger.commit(moved(JobStatus.RUNNING, job_id=job_id))


def dead_letter(asset_id: str = "a", *, job_id: str = "job", error: str = "unreadable") -> NewDeadLetter:
    return NewDeadLetter(
        job_id=job_id,
        queue="q.frames",
        topic="video.range.ready",
        event_id=f"event-{asset_id}",
        body=json.dumps({"asset": asset_id}),
        error=error,
        attempts=5,
    )


def status(ledger: Ledger, stage: str, *, job_id: str = "job") -> StageStatus:
    return {found.stage: found for found in ledger.stage_status(job_id)}[stage]


def topics(ledger: Ledger, job_id: str = "job") -> list[str]:
    return [row.topic for row in ledger.outbox(job_id)]


def fired(results: list[Any]) -> list[Completion]:
    """The completions among the results of `commit_all`; fails on any error there."""
    errors = [result for result in results if isinstance(result, Exception)]
    assert errors == []
    return [completion for result in results for completion in result]
