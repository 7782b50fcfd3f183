"""A database of an older schema, with data in it, is brought up to date when it is opened; downgrading leads back."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from reelwork.database import open_database
from reelwork.ledger import open_ledger
from reelwork.ledger.schema import SCHEMA_REVISION, metadata
from tests.conformance.ledger.stores import SQL_STORES, STORES, announced, done, new_job, status
from tests.postgresql import fresh_database

OLD_ROWS = [
    "INSERT INTO jobs (job_id, status, created_at, updated_at, input_path, pipeline, parameters) "
    "VALUES ('job', 'running', 1, 1, 'input', 'analyze', '{\"a\": 1}')",
    "INSERT INTO stages (job_id, stage, created_at, expected, done, failed, late, done_weight, progress, watermark_at) "
    "VALUES ('job', 'frames', 1, 3, 1, 0, 0, 1, 0.3, 99)",
    "INSERT INTO assets (job_id, stage, asset_id, state, weight, late, attempts, recorded_at) "
    "VALUES ('job', 'frames', 'a', 'done', 1, false, 0, 1)",
]


def migrate(url: str, revision: str, *rows: str, down: bool = False) -> set[str]:
    """Up or down to a revision; returns the tables that are there then."""
    database = open_database(url)
    config = Config()
    config.set_main_option("script_location", "reelwork.ledger:migrations")
    config.set_main_option("path_separator", "os")
    with database.exclusive() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)
        for row in rows:
            connection.execute(text(row.replace(":", r"\:")))
        connection.commit()
        tables = set(inspect(connection).get_table_names())
    database.close()
    return tables


@pytest.fixture(params=SQL_STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> AbstractContextManager[str]:
    return STORES[request.param](tmp_path, "old")


def test_the_first_schema_with_data(place: AbstractContextManager[str]) -> None:
    with place as url:
        migrate(url, "0001", *OLD_ROWS)
        ledger = open_ledger(url)
        assert ledger.database.revision() == SCHEMA_REVISION
        assert ledger.job("job").parameters == {"a": 1}
        assert ledger.commit(done("frames", "b")) == []
        (completion,) = ledger.commit(done("frames", "c"))
        assert (completion.processed_assets, status(ledger, "frames").done) == (3, 3)
        ledger.close()


def test_there_and_back_again(place: AbstractContextManager[str]) -> None:
    with place as url:
        migrate(url, "head")
        assert "jobs" in migrate(url, "0001", down=True)
        assert migrate(url, "base", down=True) == {"alembic_version"}
        ledger = open_ledger(url)
        ledger.commit(announced("frames", 2, new_job=new_job()))
        ledger.close()


def test_the_migrations_build_what_the_tables_say_on_postgresql() -> None:
    """But for the index of watermarks, which the second migration drops."""
    with fresh_database(migrated=False) as url:
        ledger = open_ledger(url)
        with ledger.database.engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            ((difference, index),) = compare_metadata(context, metadata)
        ledger.close()
    assert (difference, index.name) == ("add_index", "stages_due")
