"""All that a ledger tells of one job, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reelwork.errors import JobNotFound
from reelwork.ledger import AssetRecord, JobStatus, Ledger, StageStatus
from reelwork.ledger.records import AnnouncementConflict, DeadLetter, OutboxRow


@dataclass(frozen=True)
class Account:
    """status: None where there is no such job. letters: the oldest first."""

    job_id: str
    status: JobStatus | None
    stages: Sequence[StageStatus]
    assets: Mapping[str, Sequence[AssetRecord]]
    outbox: Sequence[OutboxRow]
    letters: Sequence[DeadLetter]
    conflicts: Sequence[AnnouncementConflict]


def account_of(ledger: Ledger, job_id: str) -> Account:
    try:
        status = ledger.job(job_id).status
    except JobNotFound:
        status = None
    stages = ledger.stage_status(job_id)
    return Account(
        job_id=job_id,
        status=status,
        stages=stages,
        assets={stage.stage: list(ledger.assets(job_id, stage.stage)) for stage in stages},
        outbox=ledger.outbox(job_id),
        letters=ledger.dead_letters(job_id)[::-1],
        conflicts=ledger.conflicts(job_id),
    )
