"""Proves on a real ledger that jobs take the moves of `contracts/job_transitions.json` and no others, and that no
statement besides the ledger's own compare-and-set writes a job's status."""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from reelwork.errors import JobTransitionRefused
from reelwork.ledger import JobMove, JobStatus, Ledger, NewJob, Work, open_ledger

ROOT = Path(__file__).parent.parent
WRITERS_OF_STATUS = {"insert_job.sql", "save_job.sql"}
STATUS_WRITE = re.compile(r'(update\s+jobs\s+set\b[^;"]*\bstatus\b|insert\s+into\s+jobs\b)', re.IGNORECASE)
WAY_TO: dict[JobStatus, tuple[JobStatus, ...]] = {
    JobStatus.PENDING: (),
    JobStatus.RUNNING: (JobStatus.RUNNING,),
    JobStatus.COMPLETED: (JobStatus.RUNNING, JobStatus.COMPLETED),
    JobStatus.FAILED: (JobStatus.FAILED,),
    JobStatus.CANCELLED: (JobStatus.CANCELLED,),
}


def wrong_moves(ledger: Ledger, allowed: dict[str, list[str]]) -> list[str]:
    """Tries every pair of states; a sentence for each that the ledger decides otherwise than the contract."""
    problems = []
    for before in JobStatus:
        for after in JobStatus:
            is_taken = before is after or _is_taken(ledger, before, after)
            if is_taken != (before is after or after in allowed[before]):
                problems.append(f"{before} -> {after} is {'taken' if is_taken else 'refused'}")
    return problems


def _is_taken(ledger: Ledger, before: JobStatus, after: JobStatus) -> bool:
    job_id = str(uuid4())
    ledger.commit(Work(new_job=NewJob(job_id=job_id, pipeline="check", input_path="input")))
    for step in WAY_TO[before]:
        _move(ledger, job_id, step)
    try:
        _move(ledger, job_id, after)
    except JobTransitionRefused:
        return False
    return ledger.job(job_id).status is after


def _move(ledger: Ledger, job_id: str, to: JobStatus) -> None:
    ledger.commit(Work(moves=[JobMove(job_id=job_id, allowed=frozenset(JobStatus), to=to)]))


def stray_writers(source: Path) -> list[str]:
    """Files that write a job's status on their own."""
    files = [path for path in sorted(source.rglob("*")) if path.suffix in {".py", ".sql"}]
    return [
        f"{path.relative_to(source)} writes the status of jobs past the ledger's compare-and-set"
        for path in files
        if path.name not in WRITERS_OF_STATUS and STATUS_WRITE.search(path.read_text())
    ]


def problems_in(contract: Path, source: Path) -> Sequence[str]:
    allowed = json.loads(contract.read_text())
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(f"sqlite:///{folder}/reelwork.db")
        try:
            return wrong_moves(ledger, allowed) + stray_writers(source)
        finally:
            ledger.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contract", type=Path, default=ROOT / "contracts" / "job_transitions.json")
    parser.add_argument("--source", type=Path, default=ROOT / "src")
    arguments = parser.parse_args()
    problems = problems_in(arguments.contract, arguments.source)
    for problem in problems:
        print(f"job transitions: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
