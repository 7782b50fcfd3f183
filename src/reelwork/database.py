"""The embedded SQLite database as both the ledger and the SQL broker see it: one file, short write transactions,
wake-ups.

Writers queue up on a file lock before `BEGIN IMMEDIATE`: a blocking lock is fair and wakes at once, where SQLite's busy
handler sleeps and retries. Processes wake each other with a datagram, never by polling hard.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import socket
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from reelwork.errors import ConfigurationError, StoreUnavailable

BUSY_TIMEOUT_MS: Final = 30_000
WAKE_BYTES: Final = 1
BIND_TRIES_MAX: Final = 100
SOCKET_FOLDER_BYTES_MAX: Final = 49


def sqlite_path(url: str) -> Path:
    """The file of a `sqlite:///path` URL. Raises ConfigurationError for any other URL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(f"{url!r} is not a database URL; use sqlite:///path/to/reelwork.db") from None
    if parsed.get_backend_name() != "sqlite":
        raise ConfigurationError(
            f"database {parsed.get_backend_name()!r} is not supported yet; use sqlite:///path/to/reelwork.db"
        )
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigurationError("the ledger needs a file that many processes can open: sqlite:///path/to/reelwork.db")
    return Path(parsed.database)


class Database:
    """One SQLite file. Thread-safe: writes go through one connection, one at a time in all processes."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._mutex = threading.Lock()
        self._is_durable = True  # as every connection is opened
        with contextlib.ExitStack() as opened:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._lock_file = opened.enter_context(open(f"{self.path}.lock", "ab"))
                self._connection = opened.enter_context(contextlib.closing(self._connect()))
                with self._locked():  # two processes that switch a new file to WAL at once find it locked
                    self._connection.execute("PRAGMA journal_mode = WAL")
            except (OSError, sqlite3.Error) as error:
                raise ConfigurationError(f"cannot open the database {self.path}: {error}") from error
            opened.pop_all()
        self.doorbell = Doorbell(self.path)
        self._readers = threading.local()
        self._opened: list[sqlite3.Connection] = []

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1000
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cache_size = -16000")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def write(self, *, is_durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed at the end of the block, rolled back when it raises.

        With `is_durable` it has survived a power cut when the block ends. Without, a power cut may take back this
        transaction, as if it had never been: for leases, which mean nothing to a machine that has been off. A process
        that dies takes nothing back either way.
        Raises StoreUnavailable when the disk is full or the file cannot be written.
        """
        with self._mutex, self._locked():
            try:
                self._sync(is_durable=is_durable)
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.OperationalError as error:
                raise StoreUnavailable(f"the database {self.path} cannot be written: {error}") from error

    def _sync(self, *, is_durable: bool) -> None:
        """`NORMAL` leaves it to the next `FULL` commit of whatever process to bring the log to the disk."""
        if is_durable is not self._is_durable:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
            self._is_durable = is_durable

    def read(self, query: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """The first row of a query that must be cheap; readers never wait for writers."""
        rows = self.rows(query, parameters)
        return rows[0] if rows else None

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query that must be cheap; readers never wait for writers."""
        connection = getattr(self._readers, "connection", None)
        if connection is None:
            connection = self._readers.connection = self._connect()
            self._opened.append(connection)
        try:
            return connection.execute(query, parameters).fetchall()
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"the database {self.path} cannot be read: {error}") from error

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keeps every other writer out without a transaction of its own: for migrations."""
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
        with self._mutex:
            for connection in (*self._opened, self._connection):
                connection.close()
            self._lock_file.close()
        self.doorbell.close()


class Doorbell:
    """Tells every process with this database open that a commit has left something to do.

    Listeners bind a datagram socket in a folder named after the database; ringing sends a byte to each. A lost ring
    costs one polling interval, never a message.
    """

    def __init__(self, database: Path) -> None:
        name = hashlib.sha256(str(database.resolve()).encode()).hexdigest()[:16]
        self._folder = _short_temporary_folder() / f"reelwork-{os.getuid()}-{name}"
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)

    def ring(self) -> None:
        """Never raises: it comes after the commit, which no failure to ring can take back."""
        with contextlib.suppress(OSError):
            for listener in os.listdir(self._folder):
                self._ring(self._folder / listener)

    def _ring(self, address: Path) -> None:
        try:
            self._sender.sendto(b"!" * WAKE_BYTES, str(address))
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                address.unlink()  # its process is gone
        except OSError:
            pass  # it has rings enough waiting, or hung up

    def listen(self) -> socket.socket:
        """A non-blocking socket that becomes readable at each ring. The caller closes it with `hang_up`."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.setblocking(False)
        for _ in range(BIND_TRIES_MAX):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            try:
                listener.bind(str(self._folder / f"{os.getpid()}-{secrets.token_hex(4)}"))
                return listener
            except FileNotFoundError:  # the last of the others has just hung up, and has taken the folder along
                continue
        raise StoreUnavailable(f"cannot listen for news of the database in {self._folder}")

    @staticmethod
    def hang_up(listener: socket.socket) -> None:
        address = Path(listener.getsockname())
        listener.close()
        address.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others listen still
            address.parent.rmdir()

    def close(self) -> None:
        self._sender.close()


def _short_temporary_folder() -> Path:
    """Where sockets can lie: their addresses hold about a hundred bytes, whatever TMPDIR says."""
    folder = tempfile.gettempdir()
    return Path(folder if len(os.fsencode(folder)) <= SOCKET_FOLDER_BYTES_MAX else "/tmp")
