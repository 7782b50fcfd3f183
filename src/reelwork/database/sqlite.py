"""The embedded SQLite database: one file, short write transactions.

Writers queue up on a file lock before `BEGIN IMMEDIATE`: a blocking lock is fair and wakes at once, where SQLite's busy
handler sleeps and retries. Processes wake each other with a datagram, never by polling hard.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, create_engine, event
from sqlalchemy import Connection as ReadConnection

from reelwork.database.base import EVERYBODY, Database, Listener, Result, Row
from reelwork.database.doorbell import Doorbell
from reelwork.database.log import LOG_PAGES_MAX, Log
from reelwork.errors import ConfigurationError, StoreUnavailable

BUSY_TIMEOUT_MS: Final = 30_000


def sqlite_path(url: URL) -> Path:
    """The file of a `sqlite:///path` URL. Raises ConfigurationError for one without a file."""
    if not url.database or url.database == ":memory:":
        raise ConfigurationError("the ledger needs a file that many processes can open: sqlite:///path/to/reelwork.db")
    return Path(url.database)


class SqliteConnection(sqlite3.Connection):
    """The driver's connection, and what `reelwork.database.base.Connection` asks for besides."""

    dialect = "sqlite"
    rings: frozenset[str] = frozenset()

    @staticmethod
    def array(values: Sequence[Any]) -> str:
        return json.dumps(values)

    def ring(self, names: Collection[str]) -> None:
        self.rings = self.rings.union(names)

    def show_early(self) -> None:
        """Its log is on the disk before anybody sees what it says."""


class SqliteDatabase(Database):
    """One SQLite file. Writes go through one connection, one at a time in all processes."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.name = str(self.path)
        self._mutex = threading.Lock()
        self._is_durable = True  # as every connection is opened
        with contextlib.ExitStack() as opened:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._lock_file = opened.enter_context(open(f"{self.path}.lock", "ab"))
                self._users_file = opened.enter_context(open(f"{self.path}.users", "ab"))
                fcntl.flock(self._users_file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                self._connection = opened.enter_context(contextlib.closing(self._connect()))
                with self._locked():  # two processes that switch a new file to WAL at once find it locked
                    self._connection.execute("PRAGMA journal_mode = WAL")
            except BlockingIOError:
                raise ConfigurationError(f"the database {self.name} is being copied elsewhere; use the copy") from None
            except (OSError, sqlite3.Error) as error:
                raise ConfigurationError(f"cannot open the database {self.name}: {error}") from error
            opened.pop_all()
        self._log = Log(self.path, connect=self._connect, alone=self._alone)
        self.doorbell = Doorbell(self.path)
        self.engine = create_engine(
            URL.create("sqlite", database=str(self.path)), connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}
        )
        self._readers = threading.local()
        self._opened: list[sqlite3.Connection] = []

    def _connect(self) -> SqliteConnection:
        connection = sqlite3.connect(
            self.path,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_MS / 1000,
            factory=SqliteConnection,
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cache_size = -16000")
            connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES_MAX}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def write(self, *, is_durable: bool = True) -> Iterator[SqliteConnection]:
        """Raises StoreUnavailable when the disk is full or the file cannot be written."""
        with self._mutex:
            with self._locked():
                yield from self._transaction(is_durable=is_durable)
            rings, self._connection.rings = self._connection.rings, frozenset()
        if rings:
            self.doorbell.ring(rings)
        self._log.keep_short()

    def _transaction(self, *, is_durable: bool) -> Iterator[SqliteConnection]:
        try:
            self._sync(is_durable=is_durable)
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rings = frozenset()
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"the database {self.name} cannot be written: {error}") from error

    def _sync(self, *, is_durable: bool) -> None:
        """`NORMAL` leaves it to the next `FULL` commit of whatever process to bring the log to the disk."""
        if is_durable is not self._is_durable:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
            self._is_durable = is_durable

    def run(self, statement: str, parameters: Sequence[Any] = (), *, is_durable: bool = True) -> Result:
        with self.write(is_durable=is_durable) as connection:
            cursor = connection.execute(statement, parameters)
            rows = cursor.fetchall()
        return Result(rows, len(rows) or cursor.rowcount)

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Row]:
        try:
            connection = getattr(self._readers, "connection", None)
            if connection is None:
                connection = self._readers.connection = self._connect()
                self._opened.append(connection)
            rows: list[Row] = connection.execute(statement, parameters).fetchall()
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"the database {self.name} cannot be read: {error}") from error
        return rows

    def array(self, values: Sequence[Any]) -> str:
        return json.dumps(values)

    def ring(self, names: Collection[str] = (EVERYBODY,)) -> None:
        self.doorbell.ring(names)

    def listen(self) -> Listener:
        return self.doorbell.listen()

    def revision(self) -> str | None:
        connection = sqlite3.connect(self.path)
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return None if row is None else row[0]
        except sqlite3.OperationalError:
            return None
        except sqlite3.DatabaseError as error:
            raise ConfigurationError(f"{self.name} is not a Reelwork database: {error}") from error
        finally:
            connection.close()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[ReadConnection]:
        engine = create_engine(URL.create("sqlite", database=str(self.path)), connect_args={"isolation_level": None})
        # The driver begins no transaction before DDL; without one, a process killed here would leave half a schema.
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        try:
            with self._mutex, self._locked(), engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    @contextlib.contextmanager
    def only_user(self) -> Iterator[None]:
        """No other process has the database open, nor opens it before the block ends.

        Raises ConfigurationError where one has.
        """
        try:
            fcntl.flock(self._users_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"a server or worker has {self.name} open; stop it first") from None
        try:
            yield
        finally:
            fcntl.flock(self._users_file, fcntl.LOCK_SH)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Threads of this process share the lock of its file, so it takes both."""
        with self._mutex, self._locked():
            yield

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def close(self) -> None:
        self._log.close()
        with self._mutex:
            for connection in (*self._opened, self._connection):
                connection.close()
            self._lock_file.close()
            self._users_file.close()
        self.engine.dispose()
        self.doorbell.close()
