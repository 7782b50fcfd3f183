"""Removes jobs that ended long ago, with all that is theirs: objects first, then rows.

What is kept by content (pictures, frames, features) is nobody's: any job may use it, and it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from reelwork.events.segment_key import SEGMENT_PREFIX
from reelwork.ledger import Ledger
from reelwork.objects import ObjectStore
from reelwork.objects.keys import inputs_prefix, job_prefix

OBJECTS_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class Pruned:
    """rows: of assets and events; jobs have a few more."""

    jobs: int = 0
    rows: int = 0
    objects: int = 0


def prune(
    ledger: Ledger, objects: ObjectStore, *, ended_before_ms: int, on_progress: Callable[[Pruned], None]
) -> Pruned:
    """Every job that ended before then, epoch ms. What is stopped in the middle is gone on with by the next call."""
    done = Pruned()
    for job_id in ledger.prunable_jobs(ended_before_ms=ended_before_ms):
        if ledger.claim_job(job_id, ended_before_ms=ended_before_ms):
            removed = remove_objects(objects, job_id)
            rows = ledger.remove_rows(job_id)
            done = replace(done, jobs=done.jobs + 1, rows=done.rows + rows, objects=done.objects + removed)
            on_progress(done)
    return done


def remove_objects(objects: ObjectStore, job_id: str) -> int:
    """What the job was given and what it has written."""
    removed = 0
    for prefix in (inputs_prefix(job_id), job_prefix(job_id), f"{SEGMENT_PREFIX}{job_id}/"):
        keys: Iterator[str] = objects.keys(prefix)
        while some := list(islice(keys, OBJECTS_AT_A_TIME)):
            objects.delete(some)
            removed += len(some)
    return removed
