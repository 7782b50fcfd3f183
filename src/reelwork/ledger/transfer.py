"""Copies a ledger on SQLite, row by row and as it is, into an empty one on PostgreSQL: all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import Boolean, Table, text
from sqlalchemy import Connection as ReadConnection

from reelwork.database import Database
from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.ledger import schema

ROWS_BETWEEN_REPORTS: Final = 10_000
# All but the leases, whose holders are gone.
TABLES: Final[Sequence[Table]] = [table for table in schema.metadata.sorted_tables if table is not schema.leases]

OnProgress = Callable[[str, int, int], None]
"""Table, rows of it that are copied, rows that it has."""

# What waits in the queues of the database goes out again through the outbox, for a broker of another engine to carry.
PUBLISH_AGAIN: Final = """
UPDATE outbox SET published_at = NULL, finished_at = NULL, look_again_at = NULL, publications = 0
FROM messages
WHERE messages.event_id = outbox.event_id AND messages.is_replay = outbox.is_replay
    AND (outbox.queue IS NULL OR outbox.queue = messages.queue)
"""
# Whole tables are read here, which no other query of Reelwork does.
ANY_PLAN: Final = "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on"
# Who held a message is gone.
LET_GO: Final = "UPDATE messages SET lease = NULL, visible_at = 0 WHERE lease IS NOT NULL"


def copy_ledger(
    source: Database, target: Database, *, has_queues: bool, on_progress: OnProgress
) -> Mapping[str, int] | None:
    """Rows by table; None when the jobs are there already, and nothing was done.

    Both have the schema of this version; nobody may write to either meanwhile. has_queues: the target's broker is the
    database itself; else what waits in the source's queues is made to be published again. Raises ConfigurationError
    for a target that holds anything else.
    """
    with source.exclusive() as reading, target.exclusive() as lent:
        writing: Any = lent.connection.driver_connection
        try:
            with writing.transaction():
                writing.execute(ANY_PLAN)
                if _has_rows(writing):
                    _check_that_all_are_there(reading, writing, target)
                    return None
                counts = {table.name: _copy(reading, writing, table, on_progress) for table in TABLES}
                _check_counts(writing, counts)
                if has_queues:
                    writing.execute(LET_GO)
                else:
                    writing.execute(PUBLISH_AGAIN)
                    writing.execute("DELETE FROM messages")
                _set_sequences(reading, writing)
            writing.commit()
            _tell_the_planner(writing)
        except psycopg.Error as error:
            raise StoreUnavailable(f"the database {target.name} did not take the rows: {error}") from error
    return counts


def _has_rows(writing: psycopg.Connection[Any]) -> bool:
    """Nobody else writes until the transaction ends."""
    for table in TABLES:
        writing.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(sql.Identifier(table.name)))
    each = (sql.SQL("EXISTS (SELECT FROM {})").format(sql.Identifier(table.name)) for table in TABLES)
    row = writing.execute(sql.SQL("SELECT {}").format(sql.SQL(" OR ").join(each))).fetchone()
    return bool(row and row[0])


def _check_that_all_are_there(reading: ReadConnection, writing: psycopg.Connection[Any], target: Database) -> None:
    """A copy that was made before, with which work may have gone on since."""
    mine = [job_id for (job_id,) in reading.execute(text("SELECT job_id FROM jobs"))]
    row = writing.execute("SELECT count(*) FROM jobs WHERE job_id = ANY(%s)", (mine,)).fetchone()
    if not mine or row is None or row[0] != len(mine):
        raise ConfigurationError(
            f"{target.name} holds other jobs already; name an empty database in REELWORK_DATABASE_URL"
        )


def _copy(reading: ReadConnection, writing: psycopg.Connection[Any], table: Table, on_progress: OnProgress) -> int:
    names = [column.name for column in table.columns]
    size = int(reading.execute(text(f"SELECT count(*) FROM {table.name}")).scalar_one())
    command = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    copied = 0
    with writing.cursor() as cursor, cursor.copy(command) as rows:
        for row in _rows(reading, table, names):
            rows.write_row(row)
            copied += 1
            if copied % ROWS_BETWEEN_REPORTS == 0:
                on_progress(table.name, copied, size)
    on_progress(table.name, copied, size)
    return copied


def _rows(reading: ReadConnection, table: Table, names: Sequence[str]) -> Iterator[Sequence[Any]]:
    """As PostgreSQL has them, a few at a time."""
    truths = [place for place, column in enumerate(table.columns) if isinstance(column.type, Boolean)]
    query = text(f"SELECT {', '.join(names)} FROM {table.name}")
    result = reading.execution_options(stream_results=True, yield_per=1_000).execute(query)
    for row in result:
        if not truths:
            yield row
            continue
        values = list(row)
        for place in truths:
            values[place] = bool(values[place])
        yield values


def _check_counts(writing: psycopg.Connection[Any], counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        row = writing.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()
        if row is None or row[0] != count:
            raise StoreUnavailable(f"{name} has {row and row[0]} rows instead of {count}; nothing was kept")


def _set_sequences(reading: ReadConnection, writing: psycopg.Connection[Any]) -> None:
    """New rows get numbers behind all that were ever given."""
    given = {name: int(last) for name, last in reading.execute(text("SELECT name, seq FROM sqlite_sequence"))}
    for table in TABLES:
        column = table.autoincrement_column
        if column is None:
            continue
        greatest = sql.SQL("(SELECT coalesce(max({}), 0) FROM {})").format(
            sql.Identifier(column.name), sql.Identifier(table.name)
        )
        writing.execute(
            sql.SQL("SELECT setval(pg_get_serial_sequence({}, {}), greatest(1, {}, {}))").format(
                sql.Literal(table.name), sql.Literal(column.name), sql.Literal(given.get(table.name, 0)), greatest
            )
        )


def _tell_the_planner(writing: psycopg.Connection[Any]) -> None:
    for table in TABLES:
        writing.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table.name)))
    writing.commit()
