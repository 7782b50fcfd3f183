"""Removes the rows of jobs that ended long ago, a bounded number in a transaction; a job goes whole, its own row last.

Must never touch a job that is not over, or that anything may still come of. It may be stopped anywhere and run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from reelwork.database import Connection, Database

ROWS_AT_ONCE: Final = 2_000
JOBS_AT_ONCE: Final = 100

OVER: Final = "status IN ('completed', 'failed', 'cancelled')"
# Somebody has yet to hear of it; nobody waits for what a cancelled job had to say.
ALL_IS_SAID: Final = """(
    status IN ('cancelled') OR NOT EXISTS (SELECT 1 FROM messages WHERE messages.job_id = jobs.job_id)
        AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.job_id = jobs.job_id AND finished_at IS NULL)
)"""
FIND: Final = f"""
SELECT created_at, job_id FROM jobs
WHERE {OVER} AND updated_at <= ?1 AND created_at <= ?1 AND (created_at, job_id) > (?2, ?3) AND {ALL_IS_SAID}
ORDER BY created_at, job_id LIMIT ?4
"""
# Without letters nothing can be replayed, and a closed stage completes no more: the job cannot come back.
CLAIM: Final = f"""
UPDATE jobs SET swept_at = coalesce(swept_at, ?2)
WHERE job_id = ?1 AND {OVER} AND updated_at <= ?2 AND {ALL_IS_SAID}
"""
CLOSE: Final = "UPDATE stages SET closed_at = ?2 WHERE job_id = ?1 AND completed_at IS NULL AND closed_at IS NULL"
FORGET_LETTERS: Final = "DELETE FROM dead_letters WHERE job_id = ?1"
FORGET_MESSAGES: Final = "DELETE FROM messages WHERE job_id = ?1"
SOME_ASSETS: Final = """
DELETE FROM assets
WHERE job_id = ?1 AND (stage, asset_id) IN (SELECT stage, asset_id FROM assets WHERE job_id = ?1 LIMIT ?2)
"""
SOME_EVENTS: Final = "FROM outbox WHERE job_id = ?1 ORDER BY sequence LIMIT ?2"
INBOX_OF_SOME: Final = f"DELETE FROM inbox WHERE event_id IN (SELECT event_id {SOME_EVENTS})"
SOME_OF_OUTBOX: Final = f"DELETE FROM outbox WHERE sequence IN (SELECT sequence {SOME_EVENTS})"
THE_REST: Final = tuple(
    f"DELETE FROM {table} WHERE job_id = ?1" for table in ("announcement_conflicts", "stages", "jobs")
)


def prunable_jobs(database: Database, *, ended_before_ms: int) -> Iterator[str]:
    """The ids of jobs that ended before then (epoch ms) and of which all is said, the oldest first."""
    last: tuple[int, str] = (0, "")
    find = _spelt(database.dialect, FIND)
    while page := database.rows(find, (ended_before_ms, *last, JOBS_AT_ONCE)):
        for created_at, job_id in page:
            last = (created_at, job_id)
            yield job_id


def claim_job(database: Database, job_id: str, *, ended_before_ms: int) -> bool:
    """Makes sure that the job stays over for good. False when it was brought back meanwhile: leave it alone."""

    def claim(connection: Connection) -> bool:
        if connection.execute(_spelt(connection.dialect, CLAIM), (job_id, ended_before_ms)).rowcount != 1:
            return False
        connection.execute(_spelt(connection.dialect, CLOSE), (job_id, ended_before_ms))
        for statement in (FORGET_LETTERS, FORGET_MESSAGES):
            connection.execute(_spelt(connection.dialect, statement), (job_id,))
        return True

    return database.transact(claim)


def remove_rows(database: Database, job_id: str) -> int:
    """Of a job that was claimed. How many of assets, outbox and inbox there were."""
    removed = 0
    for statements in ((SOME_ASSETS,), (INBOX_OF_SOME, SOME_OF_OUTBOX)):
        while some := database.transact(lambda connection: _remove(connection, statements, job_id)):  # noqa: B023
            removed += some
    database.transact(lambda connection: _remove(connection, THE_REST, job_id, limited=False))
    return removed


def _remove(connection: Connection, statements: tuple[str, ...], job_id: str, *, limited: bool = True) -> int:
    parameters: tuple[Any, ...] = (job_id, ROWS_AT_ONCE) if limited else (job_id,)
    cursors = [connection.execute(_spelt(connection.dialect, each), parameters) for each in statements]
    return sum(cursor.rowcount for cursor in cursors)


def _spelt(dialect: str, statement: str) -> str:
    """Both count their parameters, with another sign before the number."""
    return statement.replace("?", "$") if dialect == "postgresql" else statement
