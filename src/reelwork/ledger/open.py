"""Opens a ledger by URL, and brings its schema up to date first."""

from __future__ import annotations

import time

from reelwork.database import Database, is_dynamodb, open_database
from reelwork.errors import ConfigurationError
from reelwork.ledger.base import Clock, Ledger
from reelwork.ledger.schema import SCHEMA_REVISION
from reelwork.ledger.sql import SqlLedger


def open_ledger(url: str, *, clock: Clock = time.time) -> Ledger:
    """The ledger at `sqlite:///path` or `postgresql://user:password@host/database`, made or migrated where needed, or
    at `dynamodb://PREFIX`, whose tables are there already or may be made (`create=on`).

    `clock` gives epoch seconds. Raises ConfigurationError when the URL is not supported, the file cannot be opened, a
    table is missing, or it comes from a newer Reelwork; StoreUnavailable when the server does not answer.
    """
    if is_dynamodb(url):
        from reelwork.ledger.dynamodb.opening import open_dynamodb  # its library is an extra

        return open_dynamodb(url, clock=clock)
    database = open_database(url)
    try:
        if database.revision() != SCHEMA_REVISION:
            _migrate(database)
    except BaseException:
        database.close()
        raise
    return SqlLedger(database, clock=clock)


def _migrate(database: Database) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError
    from sqlalchemy.exc import DatabaseError

    config = Config()
    config.set_main_option("script_location", "reelwork.ledger:migrations")
    config.set_main_option("path_separator", "os")
    try:
        with database.exclusive() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError(
            f"{database.name} has a schema this version does not know ({error}). Upgrade reelwork, or open another "
            "database."
        ) from error
    except DatabaseError as error:
        raise ConfigurationError(
            f"cannot bring {database.name} up to date: {error.orig}. If it is not a Reelwork database, open another."
        ) from error
