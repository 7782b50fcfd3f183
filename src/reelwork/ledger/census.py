"""What there is in a ledger, in numbers: cheap however much is stored, because each look is bounded or has an index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, func, or_, select, text

from reelwork.database import Database
from reelwork.ledger import schema

COUNTED_MAX: Final = 100_000
"""Rows of one kind; more are told as so many."""
STAGES_MAX: Final = 10_000
LETTERS_MAX: Final = 10_000
RECENT_MS: Final = 3_600_000
ALIVE: Final = ("pending", "running")
IS_ALIVE: Final = "status IN ('pending', 'running')"  # parameters would keep SQLite from seeing what its index is of
ENDED: Final = ("completed", "failed", "cancelled")


class OpenStages(NamedTuple):
    """born_at: of the oldest, epoch ms."""

    number: int
    born_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """jobs: alive, by status. ended: in the last hour, by status. open_stages: by name, of the first 10,000.
    due_since: the watermark of the stage that is longest overdue, epoch ms. unpublished: events that no broker has
    confirmed, the oldest recorded at `unpublished_since`. unconsumed: published, and not yet known to have reached
    every queue. dead_letters: by queue, not replayed, among the newest 10,000.
    """

    jobs: Mapping[str, int]
    ended: Mapping[str, int]
    open_stages: Mapping[str, OpenStages]
    due_since: int | None
    unpublished: int
    unpublished_since: int | None
    unconsumed: int
    dead_letters: Mapping[str, int]


def take_census(database: Database, now_ms: int) -> Census:
    """Raises StoreUnavailable."""
    with database.reading() as connection:

        def rows(query: Select[Any]) -> list[Any]:
            return [*connection.execute(query)]

        unpublished = rows(_count(_unpublished()))[0][0]
        oldest = rows(_unpublished().order_by(schema.outbox.c.sequence).limit(1))
        due_since = rows(_due_since())[0][0]
        return Census(
            jobs=dict.fromkeys(ALIVE, 0) | dict(rows(_alive())),
            ended=dict.fromkeys(ENDED, 0) | dict(rows(_ended(now_ms - RECENT_MS))),
            open_stages={name: OpenStages(count, born_at) for name, count, born_at in rows(_open_stages())},
            due_since=due_since if due_since is not None and due_since <= now_ms else None,
            unpublished=unpublished,
            unpublished_since=oldest[0][0] if oldest else None,
            unconsumed=rows(_count(_unconsumed()))[0][0],
            dead_letters=dict(rows(_dead_letters())),
        )


def _count(query: Select[Any]) -> Select[Any]:
    return select(func.count()).select_from(query.limit(COUNTED_MAX).subquery())


def _by(column: str, query: Select[Any]) -> Select[Any]:
    counted = query.subquery()
    return select(counted.c[column], func.count()).group_by(counted.c[column])


def _alive() -> Select[Any]:
    """By the index of jobs that are alive."""
    table = schema.jobs
    return _by("status", select(table.c.status).where(text(IS_ALIVE)).limit(COUNTED_MAX))


def _ended(since_ms: int) -> Select[Any]:
    """Jobs are swept when they have been over for an hour, and those not swept have an index."""
    table = schema.jobs
    recent = select(table.c.status).where(table.c.swept_at.is_(None), table.c.updated_at >= since_ms)
    return _by("status", recent.where(table.c.status.in_(ENDED)).limit(COUNTED_MAX))


def _open_stages() -> Select[Any]:
    table = schema.stages
    is_open = (table.c.completed_at.is_(None), table.c.closed_at.is_(None))
    first = select(table.c.stage, table.c.created_at).where(*is_open).limit(STAGES_MAX).subquery()
    return select(first.c.stage, func.count(), func.min(first.c.created_at)).group_by(first.c.stage)


def _due_since() -> Select[Any]:
    """Those of failed jobs wait for a replay."""
    table = schema.stages
    is_open = (table.c.completed_at.is_(None), table.c.closed_at.is_(None), table.c.watermark_at.is_not(None))
    first = select(table.c.job_id, table.c.watermark_at).where(*is_open).order_by(table.c.watermark_at)
    due = first.limit(STAGES_MAX).subquery()
    with_jobs = due.outerjoin(schema.jobs, schema.jobs.c.job_id == due.c.job_id)
    is_waited_for = or_(schema.jobs.c.status.is_(None), schema.jobs.c.status != "failed")
    return select(func.min(due.c.watermark_at)).select_from(with_jobs).where(is_waited_for)


def _unpublished() -> Select[Any]:
    return select(schema.outbox.c.created_at).where(schema.outbox.c.published_at.is_(None))


def _unconsumed() -> Select[Any]:
    is_published = schema.outbox.c.published_at.is_not(None)
    return select(schema.outbox.c.sequence).where(schema.outbox.c.finished_at.is_(None), is_published)


def _dead_letters() -> Select[Any]:
    table = schema.dead_letters
    newest = select(table.c.queue, table.c.replayed_at).order_by(table.c.dead_letter_id.desc()).limit(LETTERS_MAX)
    letters = newest.subquery()
    return select(letters.c.queue, func.count()).where(letters.c.replayed_at.is_(None)).group_by(letters.c.queue)
