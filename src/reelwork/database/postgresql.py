"""PostgreSQL, through psycopg 3: pooled connections, statements sent together in pipelines, wake-ups by LISTEN/NOTIFY.

Every transaction is READ COMMITTED; who needs more than that locks rows. What a transaction wrote is seen when the disk
has it. One that shows it early commits asynchronously, and a second, empty commit in the same round trip waits until
the log, with the work before it, is on the disk: no lock is held meanwhile. A ring follows its commit in the same round
trip instead of riding in it: PostgreSQL lets only one transaction that notifies commit at a time.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, PoolProxiedConnection, create_engine, event, text
from sqlalchemy import Connection as ReadConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from reelwork.database.arrays import array_literal
from reelwork.database.base import EVERYBODY, Cursor, Database, Listener, Result, Row, StatementRefused
from reelwork.errors import ConfigurationError, InvalidWork, StoreUnavailable, StoreUnreachable, WriteConflict

POOL_CONNECTIONS: Final = 4
POOL_CONNECTIONS_EXTRA: Final = 12
POOL_WAIT_SECONDS: Final = 30
CONNECT_TIMEOUT_SECONDS: Final = 10
LOCK_TIMEOUT_MS: Final = 30_000
IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 60_000
UNACKNOWLEDGED_TIMEOUT_MS: Final = 30_000
MIGRATION_WAIT_MS: Final = 600_000
CHANNEL: Final = "reelwork"
MIGRATION_LOCK: Final = 7_236_150_418_283

BEGIN: Final = b"BEGIN ISOLATION LEVEL READ COMMITTED"
COMMIT: Final = b"COMMIT"
DO_NOT_WAIT_FOR_DISK: Final = b"SELECT set_config('synchronous_commit', 'off', true)"
WAIT_FOR_DISK: Final = b"SELECT pg_logical_emit_message(true, 'reelwork', '')"
RING: Final = b"SELECT pg_notify('reelwork', $1)"
RING_BYTES_MAX: Final = 7_999
# A hash join or a full scan is never right for what runs here, and without fresh statistics it may look so.
SESSION: Final = (
    f"SET lock_timeout = {LOCK_TIMEOUT_MS}; "
    f"SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_TIMEOUT_MS}; "
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
).encode()

# What a URL may say otherwise, as `?connect_timeout=3`.
CONNECTION: Final = {
    "connect_timeout": str(CONNECT_TIMEOUT_SECONDS),
    "tcp_user_timeout": str(UNACKNOWLEDGED_TIMEOUT_MS),
    "application_name": "reelwork",
}

REFUSALS: Final = "RWK"
LOST: Final = ("08", "57P", "25P03")  # the connection ends with the error, though the driver may not know it yet
CONFLICTS: Final = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
)

# It warns of what follows from an error that is raised anyway.
logging.getLogger("psycopg.pipeline").setLevel(logging.ERROR)
logging.getLogger("psycopg").setLevel(logging.ERROR)


class PipelinedCursor:
    """A statement on its way; asking for what it gave waits for it, and for those sent before."""

    __slots__ = ("_cursor", "_pipeline")

    def __init__(self, cursor: psycopg.Cursor[Any], pipeline: psycopg.Pipeline) -> None:
        self._cursor = cursor
        self._pipeline = pipeline

    @property
    def rowcount(self) -> int:
        self._pipeline.sync()
        return self._cursor.rowcount

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    @property
    def has_committed(self) -> bool:
        """For a COMMIT, which answers ROLLBACK after an error in its transaction; False before its answer came."""
        return self._cursor.statusmessage == "COMMIT"


class NothingDone:
    """What a statement gives that had no row to run for."""

    rowcount = 0

    @staticmethod
    def fetchall() -> list[Any]:
        return []


class PostgresqlConnection:
    """A write transaction as `reelwork.database.base.Connection` has it."""

    dialect = "postgresql"

    def __init__(self, connection: psycopg.Connection[Any], pipeline: psycopg.Pipeline) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self.rings: frozenset[str] = frozenset()
        self.is_shown_early = False

    def execute(self, statement: str | bytes, parameters: Sequence[Any] = ()) -> PipelinedCursor:
        return PipelinedCursor(_execute(self._connection, statement, parameters), self._pipeline)

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> Cursor:
        if not rows:
            return NothingDone()
        return self.execute(statement, [array_literal(column) for column in zip(*rows, strict=True)])

    @staticmethod
    def array(values: Sequence[Any]) -> str:
        return array_literal(values)

    def ring(self, names: Collection[str]) -> None:
        self.rings = self.rings.union(names)

    def show_early(self) -> None:
        if not self.is_shown_early:
            self.is_shown_early = True
            self.execute(DO_NOT_WAIT_FOR_DISK)

    def commit(self, *, is_durable: bool) -> list[PipelinedCursor]:
        """The locks end with the first COMMIT, the answer comes after the last."""
        commits = [self.execute(COMMIT)]
        if self.is_shown_early and is_durable:
            self.execute(BEGIN)
            self.execute(WAIT_FOR_DISK)
            commits.append(self.execute(COMMIT))
        if self.rings:
            self.execute(RING, (_told(self.rings),))
        return commits


class PostgresqlDatabase(Database):
    """One database of a server that many machines share."""

    dialect = "postgresql"

    def __init__(self, url: URL, *, name: str) -> None:
        self.name = name
        try:
            self.engine = create_engine(
                url.set(drivername="postgresql+psycopg", query={**CONNECTION, **url.query}),
                isolation_level="AUTOCOMMIT",  # a read is one statement: no round trips to begin and end it
                pool_size=POOL_CONNECTIONS,
                max_overflow=POOL_CONNECTIONS_EXTRA,
                pool_timeout=POOL_WAIT_SECONDS,
                pool_reset_on_return=None,
                use_native_hstore=False,
                hide_parameters=True,
            )
            self._connect_once()
        except (psycopg.ProgrammingError, TypeError) as error:
            raise ConfigurationError(f"the database URL {self.name} cannot be used: {error}") from error

    def _connect_once(self) -> None:
        event.listen(self.engine, "connect", _prepare_session)
        with self._lent():
            pass

    @contextlib.contextmanager
    def write(self, *, is_durable: bool = True) -> Iterator[PostgresqlConnection]:
        with self._lent() as lent:
            commits: list[PipelinedCursor] = []
            try:
                with lent.pipeline() as pipeline:
                    connection = PostgresqlConnection(lent, pipeline)
                    connection.execute(BEGIN)
                    if not is_durable:
                        connection.show_early()
                    yield connection
                    commits = connection.commit(is_durable=is_durable)
            except psycopg.Error as error:
                if commits and all(commit.has_committed for commit in commits):
                    return  # only the ring failed
                raise self._write_error(error, lent, is_committing=bool(commits)) from error
            if not all(commit.has_committed for commit in commits):
                raise StoreUnavailable(f"the database {self.name} took a transaction back, after an error in it")

    def run(self, statement: str, parameters: Sequence[Any] = (), *, is_durable: bool = True) -> Result:
        return self.again_on_conflict(lambda: self._once(statement, parameters, is_durable=is_durable))

    def _once(self, statement: str, parameters: Sequence[Any], *, is_durable: bool) -> Result:
        with self._lent() as lent:
            try:
                with contextlib.nullcontext() if is_durable else lent.pipeline():  # a pipeline is one transaction
                    if not is_durable:
                        _execute(lent, DO_NOT_WAIT_FOR_DISK)
                    cursor = _execute(lent, statement, parameters)
                return Result(cursor.fetchall() if cursor.description else [], cursor.rowcount)
            except psycopg.Error as error:
                raise self._write_error(error, lent, is_committing=False) from error

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Row]:
        return self.run(statement, parameters).rows

    def array(self, values: Sequence[Any]) -> str:
        return array_literal(values)

    def ring(self, names: Collection[str] = (EVERYBODY,)) -> None:
        with contextlib.suppress(StoreUnavailable):
            self.run(RING.decode(), (_told(names),))

    def listen(self) -> Listener:
        with self._errors("cannot be listened to"):
            lent = self.engine.raw_connection()
            connection: Any = lent.driver_connection
            lent.detach()
            try:
                connection.execute(f"LISTEN {CHANNEL}".encode())
            except psycopg.Error:
                connection.close()
                raise
            return NotificationListener(connection)

    def revision(self) -> str | None:
        if self.read("SELECT to_regclass('alembic_version')") == (None,):
            return None
        row = self.read("SELECT version_num FROM alembic_version")
        return None if row is None else row[0]

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[ReadConnection]:
        with self._errors("cannot be migrated"):
            connection = self.engine.connect().execution_options(isolation_level="READ COMMITTED")
        try:
            with self._errors("cannot be migrated"):
                connection.execute(text(f"SET lock_timeout = {MIGRATION_WAIT_MS}"))
                connection.execute(text(f"SELECT pg_advisory_lock({MIGRATION_LOCK})"))
                connection.commit()
            yield connection
        finally:
            connection.invalidate()  # its session ends, and the lock with it
            connection.close()

    def close(self) -> None:
        self.engine.dispose()

    @contextlib.contextmanager
    def _lent(self) -> Iterator[psycopg.Connection[Any]]:
        with self._errors("does not answer"):
            lent: PoolProxiedConnection = self.engine.raw_connection()
        connection: Any = lent.driver_connection
        try:
            yield connection
        finally:
            _roll_back(connection)
            if connection.closed:
                lent.invalidate()
                self.engine.dispose()  # the others in the pool were cut off by the same restart, most likely
            else:
                lent.close()

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Errors of getting a connection, or of work on one whose connection is of no further use."""
        try:
            yield
        except PoolTimeout as error:
            raise StoreUnavailable(f"the database {self.name} {what}: all connections are in use") from error
        except DBAPIError as error:
            raise StoreUnreachable(f"the database {self.name} {what}: {error.orig}") from error
        except psycopg.Error as error:
            raise StoreUnreachable(f"the database {self.name} {what}: {error}") from error

    def _write_error(
        self, error: psycopg.Error, connection: psycopg.Connection[Any], *, is_committing: bool
    ) -> Exception:
        is_lost = connection.closed or (error.sqlstate or "").startswith(LOST)
        if is_lost and is_committing:
            return StoreUnreachable(
                f"the database {self.name} went away before it confirmed a commit, which may be recorded: {error}"
            )
        if is_lost or isinstance(error, CONFLICTS):
            return WriteConflict(f"the database {self.name} could not record this: {error}")
        if (error.sqlstate or "").startswith(REFUSALS):
            return StatementRefused(str(error))
        if isinstance(error, psycopg.DataError):
            return InvalidWork(f"the database {self.name} cannot hold this: {error}")
        return StoreUnavailable(f"the database {self.name} cannot be used: {error}")


class NotificationListener(Listener):
    """A connection of its own that LISTENs."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._fileno = connection.fileno()

    def fileno(self) -> int:
        """Also of a connection that was lost: a loop must be able to forget it."""
        return self._fileno

    def take(self) -> Collection[str] | None:
        names: set[str] = set()
        try:
            self._connection.pgconn.consume_input()
            while (ring := self._connection.pgconn.notifies()) is not None:
                names.update(ring.extra.decode().split("\n"))
        except psycopg.OperationalError:
            return None
        return None if self._connection.closed else names

    def close(self) -> None:
        self._connection.close()


def _told(names: Collection[str]) -> str:
    told = "\n".join(names)
    return told if len(told.encode()) <= RING_BYTES_MAX else EVERYBODY


def _prepare_session(connection: Any, _record: object) -> None:
    connection.execute(SESSION)


def _execute(
    connection: psycopg.Connection[Any], statement: str | bytes, parameters: Sequence[Any] = ()
) -> psycopg.Cursor[Any]:
    return psycopg.RawCursor(connection).execute(statement, parameters or None, prepare=True)


def _roll_back(connection: psycopg.Connection[Any]) -> None:
    """Leaves the connection fit for the next transaction, or closed."""
    if connection.pgconn.transaction_status == TransactionStatus.IDLE:
        return
    try:
        connection.execute(b"ROLLBACK")
    except psycopg.Error:
        connection.close()
