"""`reelwork status` and `reelwork stages`: a job as a running server knows it."""

from __future__ import annotations

from reelwork.cli import options


def status(job_id: options.JobId, url: options.ServerUrl = None, as_json: options.Json = False) -> None:
    """Tell how far a job is, and what went wrong. Status 0 whatever became of the job; `wait` tells that."""
    from reelwork.cli.client import server
    from reelwork.cli.job_view import job_view
    from reelwork.cli.output import tell, tell_json

    with server(url) as client:
        job = client.job(job_id)
    if as_json:
        tell_json(job)
    else:
        tell(*job_view(job))


def stages(job_id: options.JobId, url: options.ServerUrl = None, as_json: options.Json = False) -> None:
    """Tell the stages of a job: what each expects and has, why it fired, or what keeps it open and the way out.

    Example: `reelwork stages JOB`. Counts: expected (? = not announced yet), done, failed, late (recorded after the
    stage completed), weight of the done. `reelwork doctor` looks through all jobs for what is stuck.
    """
    from reelwork.cli.client import server
    from reelwork.cli.output import tell, tell_json
    from reelwork.cli.stages_view import stages_view

    with server(url) as client:
        standing = client.stages(job_id)
    if as_json:
        tell_json(standing)
    else:
        tell(*stages_view(standing))
