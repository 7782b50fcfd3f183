"""`reelwork results`: what a job on a running server has found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reelwork.cli import options
from reelwork.cli.exit_code import JobEndedBadly, NotFinished


def results(
    job_id: options.JobId,
    output: options.OutputFile = None,
    url: options.ServerUrl = None,
    as_json: options.Json = False,
) -> None:
    """Print the results of a completed job as JSON, or write them to --output.

    Status 4 while the job is not over, 1 when it failed or was cancelled.
    """
    from reelwork.cli.client import server
    from reelwork.cli.job_view import missing_view
    from reelwork.cli.output import tell, tell_aside, tell_json, tell_results
    from reelwork.cli.output_file import refuse_unwritable

    refuse_unwritable(output)
    with server(url) as client:
        job = client.job(job_id)
        _refuse_unfinished(job)
        found = client.results(job_id)
    for missing in job["details"].get("missing_frames", ()):
        tell_aside(missing_view(missing))
    if output is None:
        tell_results({"job_id": found["job_id"]}, found["results"])
        return
    _write(found["results"], output)
    if as_json:
        tell_json({"job_id": job_id, "output": str(output)})
    else:
        tell(f"Results: {output}")


def _refuse_unfinished(job: dict[str, Any]) -> None:
    if job["status"] in ("failed", "cancelled"):
        raise JobEndedBadly(f"job {job['job_id']} {job['status']}: {job['error_message']}")
    if job["status"] != "completed":
        raise NotFinished(
            f"job {job['job_id']} is {job['status']} ({job['progress']:.0%}); its results come at its end"
        )


def _write(frames: list[Any], path: Path) -> None:
    """One item a line, as everywhere."""
    from reelwork.cli.output_file import whole_file

    with whole_file(path) as file:
        file.write(b"[\n" + b",\n".join(json.dumps(frame).encode() for frame in frames) + b"\n]\n")
