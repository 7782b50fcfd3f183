"""Which engine a database URL means. No error here, nor anywhere below, ever shows the password of a URL."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from reelwork.database.base import Database
from reelwork.database.sqlite import SqliteDatabase, sqlite_path
from reelwork.errors import ConfigurationError

DYNAMODB = "dynamodb"
SUPPORTED = "use sqlite:///path/to/reelwork.db, postgresql://user:password@host/database or dynamodb://TABLE_PREFIX"


def open_database(url: str) -> Database:
    """Raises ConfigurationError for a URL that is not supported, StoreUnavailable for a server that does not answer."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqliteDatabase(sqlite_path(parsed))
    from reelwork.database.postgresql import PostgresqlDatabase  # its driver is an extra

    return PostgresqlDatabase(parsed, name=masked(parsed))


def is_dynamodb(url: str) -> bool:
    """It is no SQL database: the ledger alone knows how to open it."""
    return url.partition(":")[0].lower() == DYNAMODB


def embedded_path(url: str) -> Path | None:
    """The file of an embedded database, whether it is there or not; None for a server's."""
    if is_dynamodb(url):
        return None
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    return sqlite_path(parsed)


def shown_url(url: str) -> str:
    """The URL as people may see it."""
    if is_dynamodb(url):
        return re.sub("//[^/@]*@", "//masked@", url)  # it should carry no password
    return masked(parse_url(url))


def masked(url: URL) -> str:
    """The URL without its password, wherever it stands."""
    query = {name: "masked" if name == "password" else value for name, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        shown = repr(url) if "@" not in url else "this"
        raise ConfigurationError(f"{shown} is not a database URL; {SUPPORTED}") from None
    backend = parsed.get_backend_name()
    if backend == "postgres":  # libpq's other name for it
        return parsed.set(drivername="postgresql")
    if backend not in ("sqlite", "postgresql"):
        raise ConfigurationError(f"database {backend!r} is not supported; {SUPPORTED}")
    return parsed
