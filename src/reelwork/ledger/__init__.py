"""The ledger: which assets of which stage are done, and the one moment at which a stage is complete."""

from reelwork.ledger.base import Ledger
from reelwork.ledger.census import Census
from reelwork.ledger.job import JobExists
from reelwork.ledger.open import open_ledger
from reelwork.ledger.progress import BaseJobProgressManager, JobProgressManager, StageRule
from reelwork.ledger.records import (
    ALLOWED_TRANSITIONS,
    AssetRecord,
    AssetState,
    Completion,
    DeadLetter,
    Job,
    JobStatus,
    QueueDepth,
    StageStatus,
)
from reelwork.ledger.rules import CompletionPolicy, Rule
from reelwork.ledger.work import AssetOutcome, Inbox, JobMove, NewDeadLetter, NewJob, StageUpdate, Work

__all__ = [
    "ALLOWED_TRANSITIONS",
    "AssetOutcome",
    "AssetRecord",
    "AssetState",
    "BaseJobProgressManager",
    "Census",
    "Completion",
    "CompletionPolicy",
    "DeadLetter",
    "Inbox",
    "Job",
    "JobExists",
    "JobMove",
    "JobProgressManager",
    "JobStatus",
    "Ledger",
    "NewDeadLetter",
    "NewJob",
    "QueueDepth",
    "Rule",
    "StageRule",
    "StageStatus",
    "StageUpdate",
    "Work",
    "open_ledger",
]
