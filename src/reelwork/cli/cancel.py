"""`reelwork cancel`: ends a job on a running server."""

from __future__ import annotations

from reelwork.cli import options


def cancel(job_id: options.JobId, url: options.ServerUrl = None, as_json: options.Json = False) -> None:
    """Cancel a job. One that is cancelled already stays so; one that is over otherwise is refused with status 2."""
    from reelwork.cli.client import server
    from reelwork.cli.job_view import headline, short_document
    from reelwork.cli.output import tell, tell_json

    with server(url) as client:
        job = client.cancel(job_id)
    if as_json:
        tell_json(short_document(job))
    else:
        tell(headline(job))
