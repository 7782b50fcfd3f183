"""Opens a ledger by URL, and brings its schema up to date first."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from reelwork.database import Database, sqlite_path
from reelwork.errors import ConfigurationError
from reelwork.ledger.base import Clock
from reelwork.ledger.schema import SCHEMA_REVISION
from reelwork.ledger.sql import SqlLedger


def open_ledger(url: str, *, clock: Clock = time.time) -> SqlLedger:
    """The ledger at `sqlite:///path`, made or migrated where needed. `clock` gives epoch seconds.

    Raises ConfigurationError when the URL is not supported, the file cannot be opened, or it comes from a newer
    Reelwork.
    """
    database = Database(sqlite_path(url))
    try:
        if _revision(database.path) != SCHEMA_REVISION:
            with database.exclusive():
                _migrate(database.path)
    except BaseException:
        database.close()
        raise
    return SqlLedger(database, clock=clock)


def _revision(path: Path) -> str | None:
    connection = sqlite3.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return None if row is None else row[0]
    except sqlite3.OperationalError:
        return None
    except sqlite3.DatabaseError as error:
        raise ConfigurationError(f"{path} is not a Reelwork database: {error}") from error
    finally:
        connection.close()


def _migrate(path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError
    from sqlalchemy import URL, create_engine, event
    from sqlalchemy.exc import DatabaseError

    config = Config()
    config.set_main_option("script_location", "reelwork.ledger:migrations")
    config.set_main_option("path_separator", "os")
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"isolation_level": None})
    # The driver begins no transaction before DDL; without one, a process killed here would leave half a schema.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError(
            f"{path} has a schema this version does not know ({error}). Upgrade reelwork, or open another data folder."
        ) from error
    except DatabaseError as error:
        raise ConfigurationError(
            f"cannot bring {path} up to date: {error.orig}. If it is not a Reelwork database, open another data folder."
        ) from error
    finally:
        engine.dispose()
