"""What the ledger and the SQL broker ask of a database, whichever engine it is.

Nothing here knows what is stored. A transaction that met another one is tried again here, a bounded number of times.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection as ReadConnection
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from reelwork.errors import StoreUnavailable, WriteConflict

CONFLICT_TRIES_MAX: Final = 10
CONFLICT_SECONDS_MAX: Final = 75.0  # then no other try begins: time enough for the database to cut off who stalls
CONFLICT_PAUSE_SECONDS_MIN: Final = 0.002
CONFLICT_PAUSE_SECONDS_MAX: Final = 0.25
EVERYBODY: Final = "*"
"""A ring by this name is for whoever listens."""

T = TypeVar("T")
Row = tuple[Any, ...]


class StatementRefused(Exception):
    """A function of Reelwork's own in the database said no, and the transaction was rolled back."""


class Result(NamedTuple):
    """changed: rows that the statement changed or returned."""

    rows: Sequence[Row]
    changed: int


class Cursor(Protocol):
    """What a statement gave; it may not have run before one of these is asked for."""

    @property
    def rowcount(self) -> int: ...
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """One write transaction. Statements may be sent together: ask first for all, then for what each gave."""

    @property
    def dialect(self) -> str: ...

    def execute(self, statement: str, parameters: Sequence[Any] = ..., /) -> Cursor: ...

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]], /) -> Cursor:
        """Runs a statement for every row: once a row, or once with an array for each column, as the engine has it."""

    def array(self, values: Sequence[Any], /) -> str:
        """A list as a parameter of one statement."""

    def ring(self, names: Collection[str], /) -> None:
        """Rings by these names as soon as this transaction is committed."""

    def show_early(self) -> None:
        """Lets go of the locks before the disk has the commit, so others may see what a power cut then takes back.

        The caller still waits for the disk. Only for what nobody outside acts upon.
        """


class Listener(ABC):
    """Becomes readable at each ring, in any process. A lost ring costs one polling interval, never a message."""

    @abstractmethod
    def fileno(self) -> int: ...

    @abstractmethod
    def take(self) -> Collection[str] | None:
        """The names of the rings that are there. None when it is deaf from now on: close it and listen anew."""

    @abstractmethod
    def close(self) -> None: ...


class Database(ABC):
    """One database of one engine. Thread-safe; many processes may have it open.

    name: for errors and people; never with a password. engine: for queries that need no hurry.
    """

    dialect: str
    name: str
    engine: Engine

    @abstractmethod
    def write(self, *, is_durable: bool = True) -> AbstractContextManager[Connection]:
        """One write transaction: committed at the end of the block, rolled back when it raises.

        With `is_durable` it has survived a power cut when the block ends. Without, a power cut may take back this
        transaction, as if it had never been: for leases, which mean nothing to a machine that has been off. A process
        that dies takes nothing back either way.
        Raises WriteConflict when another transaction was in its way and it is worth another try, StoreUnavailable when
        the database takes no writes.
        """

    @abstractmethod
    def run(self, statement: str, parameters: Sequence[Any] = (), *, is_durable: bool = True) -> Result:
        """One statement in a transaction of its own. It must be one that may run twice: the answer may get lost."""

    @abstractmethod
    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Row]:
        """All rows of a query that must be cheap; readers never wait for writers."""

    @abstractmethod
    def array(self, values: Sequence[Any]) -> str:
        """A list as a parameter of one statement."""

    @abstractmethod
    def ring(self, names: Collection[str] = (EVERYBODY,)) -> None:
        """Never raises: it comes after a commit, which no failure to ring can take back."""

    @abstractmethod
    def listen(self) -> Listener: ...

    @abstractmethod
    def revision(self) -> str | None:
        """The schema's, by its migrations; None where there is none yet."""

    @abstractmethod
    def exclusive(self) -> AbstractContextManager[ReadConnection]:
        """A connection for migrations, one in all processes at a time; what it does in a transaction is all or none."""

    @abstractmethod
    def close(self) -> None: ...

    def read(self, statement: str, parameters: Sequence[Any] = ()) -> Row | None:
        """The first row of a query that must be cheap."""
        rows = self.rows(statement, parameters)
        return rows[0] if rows else None

    def change(self, statement: str, rows: Sequence[Sequence[Any]], *, is_durable: bool = True) -> int:
        """Runs a statement for every row, all in a transaction of their own; how many rows of the table it changed."""
        if not rows:
            return 0
        return self.transact(lambda connection: connection.executemany(statement, rows).rowcount, is_durable=is_durable)

    def transact(self, change: Callable[[Connection], T], *, is_durable: bool = True) -> T:
        """Runs `change` in a write transaction, from its beginning again when another one was in its way."""

        def attempt() -> T:
            with self.write(is_durable=is_durable) as connection:
                return change(connection)

        return self.again_on_conflict(attempt)

    @staticmethod
    def again_on_conflict(attempt: Callable[[], T]) -> T:
        pause_max = CONFLICT_PAUSE_SECONDS_MIN
        give_up_at = time.monotonic() + CONFLICT_SECONDS_MAX
        for _ in range(CONFLICT_TRIES_MAX - 1):
            try:
                return attempt()
            except WriteConflict:
                if time.monotonic() >= give_up_at:
                    raise
                time.sleep(random.uniform(0, pause_max))
                pause_max = min(pause_max * 2, CONFLICT_PAUSE_SECONDS_MAX)
        return attempt()

    @contextmanager
    def reading(self) -> Iterator[ReadConnection]:
        """Raises StoreUnavailable when the database does not answer, DataError for a parameter it cannot hold."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except DataError:
            raise
        except DBAPIError as error:
            raise StoreUnavailable(f"the database {self.name} cannot be read: {error.orig}") from error
        except PoolTimeout as error:
            raise StoreUnavailable(f"the database {self.name} cannot be read: all connections are in use") from error
