"""`reelwork prune`: forgets jobs that ended long ago."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Final

import typer

from reelwork.cli import options

if TYPE_CHECKING:
    from reelwork.runtime.pruning import Pruned

SECONDS_A_DAY: Final = 86_400

OlderThan = Annotated[float, typer.Option("--older-than", min=1, metavar="DAYS", help="Since the job ended.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count the jobs that would go.")]


def prune(
    older_than: OlderThan, data: options.DataFolder = None, dry_run: DryRun = False, as_json: options.Json = False
) -> None:
    """Remove jobs that are over, with their inputs, results and rows. Nothing brings them back.

    A job stays while an event of it is still on its way. Pictures, frames and features stay, because other jobs may use
    them. Servers and workers may go on meanwhile; stopped in the middle, it is simply run again. Example, once a night:
    `reelwork prune --older-than 30`
    """
    from dataclasses import asdict

    from reelwork.cli.configuration import load_config
    from reelwork.cli.output import progress_bar, tell, tell_json
    from reelwork.ledger import open_ledger
    from reelwork.objects import open_objects
    from reelwork.runtime.pruning import prune as prune_jobs

    config = load_config(data=data)
    ended_before_ms = round((time.time() - older_than * SECONDS_A_DAY) * 1000)
    with closing(open_ledger(config.database_url)) as ledger:
        if dry_run:
            count = sum(1 for _ in ledger.prunable_jobs(ended_before_ms=ended_before_ms))
            if as_json:
                tell_json({"jobs": count})
            else:
                tell(f"{count} jobs would be removed.")
            return
        with progress_bar("pruning") as report:

            def on_progress(done: Pruned) -> None:
                report(f"{done.jobs} jobs, {done.rows} rows, {done.objects} objects", None)

            objects = open_objects(config.objects_url)
            done = prune_jobs(ledger, objects, ended_before_ms=ended_before_ms, on_progress=on_progress)
    if as_json:
        tell_json(asdict(done))
    else:
        tell(f"Removed {done.jobs} jobs, {done.rows} rows of assets and events, and {done.objects} objects.")
