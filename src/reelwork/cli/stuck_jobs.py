"""What `reelwork doctor` finds out about the jobs of a database: which are stuck, why, and the way out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from reelwork.cli.checkup import Finding, Health
from reelwork.errors import ReelworkError
from reelwork.runtime.backends import open_backends
from reelwork.runtime.diagnosis import STUCK_AFTER_SECONDS, Cause, Reason
from reelwork.runtime.standing import JobStanding, Standings
from reelwork.settings import Config

FINDINGS_TOLD_MAX: Final = 50
SUBJECT: Final = "jobs"
WORTH_KNOWING: Final = frozenset({Cause.DEAD_LETTERS, Cause.CONFLICT})


def stuck_jobs(config: Config, *, stuck_after_seconds: float | None = None) -> list[Finding]:
    """Findings about live jobs, and about failed ones that a replay can mend; a summary where none is stuck.

    stuck_after_seconds: without news for so long, a stage is stuck.
    """
    from reelwork.database import embedded_path, is_dynamodb

    try:
        path = embedded_path(config.database_url)
        if path is not None and not path.exists():
            return []
        if is_dynamodb(config.database_url):
            from reelwork.ledger.dynamodb.opening import tables_to_be_made

            if tables_to_be_made(config.database_url):
                return []
        return asyncio.run(_look(config, STUCK_AFTER_SECONDS if stuck_after_seconds is None else stuck_after_seconds))
    except (ReelworkError, ImportError) as error:
        return [Finding(SUBJECT, Health.NOTED, f"not looked at: {error}")]


async def _look(config: Config, stuck_after_seconds: float) -> list[Finding]:
    backends = await open_backends(config, declares=False)
    try:
        standings = Standings(backends, stuck_after_seconds=stuck_after_seconds)
        told: list[Finding] = []
        looked_at = 0
        async for standing in standings.of_live_jobs():
            looked_at += 1
            told += _findings(standing)
    finally:
        await backends.close()
    told.sort(key=lambda finding: finding.health is not Health.BROKEN)
    if len(told) > FINDINGS_TOLD_MAX:
        more = f"{len(told) - FINDINGS_TOLD_MAX} more findings about jobs are not told"
        told = [*told[:FINDINGS_TOLD_MAX], Finding(SUBJECT, Health.NOTED, more, "mend these first")]
    if any(finding.health is Health.BROKEN for finding in told):
        return told
    return [Finding(SUBJECT, Health.FINE, f"{looked_at} looked at, none stuck"), *told]


def _findings(standing: JobStanding) -> Iterator[Finding]:
    """What needs somebody; not that work is going on."""
    job = standing.job
    for reason in standing.reasons:
        if reason.is_stuck:
            yield _finding(f"job {job.job_id}", reason, is_over=False)
    is_over = job.status.is_terminal
    for stage in standing.stages:
        for reason in stage.reasons:
            if reason.fix is not None if is_over else reason.is_stuck or reason.cause in WORTH_KNOWING:
                yield _finding(f"job {job.job_id}, stage {stage.status.stage}", reason, is_over=is_over)


def _finding(subject: str, reason: Reason, *, is_over: bool) -> Finding:
    """A failed job is over: it is for its owner to say whether it is worth a replay."""
    health = Health.BROKEN if reason.is_stuck and not is_over else Health.NOTED
    return Finding(subject, health, f"{reason.cause}: {reason.found}", reason.fix)
