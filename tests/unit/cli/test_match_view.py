"""What the terminal says of the matches of a job."""

from __future__ import annotations

from rich.console import Console

from reelwork.cli.embedded_match import FinishedMatch
from reelwork.cli.match_view import match_view
from reelwork.ledger import Job, JobStatus
from reelwork.runtime.jobs import JobDetail

JOB = Job(
    job_id="a",
    status=JobStatus.COMPLETED,
    created_at=0,
    updated_at=0,
    input_path="",
    output_path="jobs/a/results.json",
    error_message=None,
    pipeline="match",
    phase="evidence",
    parameters={},
    idempotency_key=None,
)


def test_names_are_shown_as_they_are() -> None:
    details = dict.fromkeys(("products", "images", "videos", "frames"), 1)
    detail = JobDetail(job=JOB, progress=1.0, phases=[], stages=[], conflicts=[], dead_letters=[], details=details)
    result = {"product": "mug [red]", "video": "no [/end]", "score": 0.9, "ts": 1.0, "spans": [[0.5, 1.5]]}
    finished = FinishedMatch(detail=detail, completions={}, results=[result], notes=["a [blue] note"])
    console = Console(width=120, record=True)
    console.print(*match_view(finished))
    shown = console.export_text()
    assert all(name in shown for name in ("mug [red]", "no [/end]", "a [blue] note"))
