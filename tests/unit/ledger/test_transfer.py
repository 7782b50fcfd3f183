"""A ledger that is copied is the same ledger, or there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.ledger import NewJob, Work, open_ledger
from reelwork.ledger.schema import metadata
from reelwork.ledger.sql import SqlLedger
from tests.house import ITEMS, House, open_house, run, stage_service
from tests.postgresql import fresh_database

TABLES = set(metadata.tables) - {"leases"}
transfer = pytest.importorskip("reelwork.ledger.transfer", reason="needs psycopg: make setup")


@pytest.fixture
def database() -> Iterator[str]:
    with fresh_database() as url:
        yield url


@pytest.fixture
def source(tmp_path: Path) -> Iterator[SqlLedger]:
    """With something in every table: two works done, one in hand, one that waits, one dead and replayed."""

    def handle(_event: Any, context: Any) -> dict[str, str]:
        if context.asset.asset_id == "bad":
            raise ValueError("no good")
        return {"key": f"ä/{context.asset.asset_id}"}

    async def live() -> None:
        async with open_house(tmp_path, stage_service(handle)) as house:
            await fill(house)

    run(live())
    with closing(open_ledger(f"sqlite:///{tmp_path}/reelwork.db")) as ledger:
        yield ledger


async def fill(house: House) -> None:
    job_id = house.start()
    house.announce(job_id, 5)
    house.announce(job_id, 4)  # shrinks: a conflict
    house.send(job_id, "a", "b")
    house.send(job_id, "bad")
    await house.run_dry()
    house.replay(job_id)
    house.send(job_id, "c")
    (held,) = await house.take(ITEMS)
    assert held.message.is_replay
    house.submit()


def rows_of(ledger: SqlLedger, table: str) -> list[tuple[Any, ...]]:
    columns = ", ".join(sorted(column.name for column in metadata.tables[table].columns))
    with ledger.database.reading() as connection:
        rows = connection.execute(text(f"SELECT {columns} FROM {table}")).all()
    return sorted((tuple(map(str, map(plain, row))) for row in rows), key=repr)


def plain(value: Any) -> Any:
    """Truths are numbers in SQLite, JSON is text there."""
    if isinstance(value, dict):
        return "{}" if not value else repr(value)
    return int(value) if isinstance(value, bool) else value


def copied(source: SqlLedger, url: str, *, has_queues: bool = True) -> tuple[Any, SqlLedger]:
    target = open_ledger(url)
    counts = transfer.copy_ledger(source.database, target.database, has_queues=has_queues, on_progress=lambda *_: None)
    return counts, target


def test_every_row_of_every_table_is_there_as_it_was(source: SqlLedger, database: str) -> None:
    counts, target = copied(source, database)
    with closing(target):
        assert set(counts) == TABLES
        assert all(counts.values()), counts
        for table in TABLES - {"messages"}:
            assert rows_of(target, table) == rows_of(source, table), table
        with target.database.reading() as connection:
            waiting = connection.execute(text("SELECT lease, visible_at FROM messages")).all()
        assert len(waiting) == counts["messages"]
        assert all(tuple(row) == (None, 0) for row in waiting)


def test_new_rows_get_numbers_behind_the_old(source: SqlLedger, database: str) -> None:
    _, target = copied(source, database)
    with closing(target), target.database.reading() as connection:
        for table, column in (("outbox", "sequence"), ("dead_letters", "dead_letter_id"), ("messages", "message_id")):
            last = connection.execute(text(f"SELECT max({column}) FROM {table}")).scalar_one()
            query = f"SELECT nextval(pg_get_serial_sequence('{table}', '{column}'))"
            assert connection.execute(text(query)).scalar_one() > last


def test_for_another_broker_what_waits_is_published_again_and_nothing_else(source: SqlLedger, database: str) -> None:
    with source.database.reading() as connection:
        waiting = set(connection.execute(text("SELECT event_id, is_replay FROM messages")).all())
    _, target = copied(source, database, has_queues=False)
    with closing(target), target.database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM messages")).scalar_one() == 0
        again = connection.execute(text("SELECT event_id, is_replay FROM outbox WHERE published_at IS NULL")).all()
        assert {(event_id, int(is_replay)) for event_id, is_replay in again} == {tuple(row) for row in waiting}
        assert len(again) == len(waiting)


def test_it_is_done_once_however_often_it_is_asked_for(source: SqlLedger, database: str) -> None:
    _, target = copied(source, database)
    target.close()
    counts, target = copied(source, database)
    target.close()
    assert counts is None


def test_a_ledger_with_other_jobs_is_left_alone(source: SqlLedger, tmp_path: Path, database: str) -> None:
    _, target = copied(source, database)
    target.close()
    with closing(open_ledger(f"sqlite:///{tmp_path}/another.db")) as another:
        another.commit(Work(new_job=NewJob(job_id=str(uuid4()), pipeline="tiny", input_path="input")))
        with pytest.raises(ConfigurationError, match="holds other jobs already"):
            copied(another, database)


def test_nothing_is_there_when_something_does_not_fit(source: SqlLedger, database: str) -> None:
    source.database.run("UPDATE dead_letters SET error = 'a' || char(0)")
    with pytest.raises(StoreUnavailable, match="did not take the rows"):
        copied(source, database)
    with closing(open_ledger(database)) as target:
        assert all(rows_of(target, table) == [] for table in TABLES)
