"""`reelwork wait`: until a job on a running server is over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from reelwork.cli import options
from reelwork.cli.exit_code import ExitCode, NotFinished, ServerUnreachable

if TYPE_CHECKING:
    from reelwork.cli.client import Client
    from reelwork.cli.output import Report

POLL_SECONDS: Final = 0.5
SERVER_AWAY_SECONDS_MAX: Final = 30.0
"""A server that is started anew is waited for, once it has answered."""

OVER: Final = frozenset({"completed", "failed", "cancelled"})

Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, metavar="SECONDS", help="Give up after so long, with status 4.")
]


def wait(
    job_id: options.JobId,
    timeout: Timeout = None,
    url: options.ServerUrl = None,
    as_json: options.Json = False,
) -> None:
    """Wait until a job is over. Status 0: completed; 1: failed or cancelled; 4: not over in time."""
    from reelwork.cli.client import server
    from reelwork.cli.job_view import headline, missing_views, short_document
    from reelwork.cli.output import progress_bar, tell, tell_json

    with server(url) as client, progress_bar("waiting") as report:
        job = follow(client, job_id, timeout, report)
    if as_json:
        tell_json(short_document(job))
    else:
        tell(headline(job), *([job["error_message"]] if job["error_message"] else []), *missing_views(job))
    if job["status"] != "completed":
        raise typer.Exit(ExitCode.FAILED)


def follow(client: Client, job_id: str, timeout_seconds: float | None, report: Report) -> dict[str, Any]:
    """The job when it is over. Raises NotFinished, JobNotFound, ServerUnreachable."""
    job = client.job(job_id)
    answered_at = started_at = time.monotonic()
    while job["status"] not in OVER:
        report(f"{job['status']}: {job['phase'] or 'waiting for a worker'}", job["progress"] or None)
        left = POLL_SECONDS
        if timeout_seconds is not None:
            left = started_at + timeout_seconds - time.monotonic()
            if left <= 0:
                raise NotFinished(
                    f"job {job_id} is {job['status']} ({job['progress']:.0%}) after {timeout_seconds:g} s"
                )
        time.sleep(min(left, POLL_SECONDS))
        try:
            job = client.job(job_id)
            answered_at = time.monotonic()
        except ServerUnreachable:
            if time.monotonic() - answered_at > SERVER_AWAY_SECONDS_MAX:
                raise
    return job
