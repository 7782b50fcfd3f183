"""The real ledger on SQLite, in a file that lies in memory: opened once in a process, emptied for every run."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from reelwork.database import Connection, Database
from reelwork.ledger import open_ledger
from reelwork.ledger.base import Ledger
from reelwork.ledger.sql import SqlLedger
from tests.simulation.store import Store

MEMORY_FOLDER = Path("/dev/shm")


def new_database() -> bytes:
    """An empty one with its schema."""
    with tempfile.TemporaryDirectory() as folder:
        open_ledger(f"sqlite:///{folder}/reelwork.db").close()
        return (Path(folder) / "reelwork.db").read_bytes()


class SqliteStore(Store):
    """database: the bytes of an empty one. All processes share one ledger: whoever has begun a transaction is alone."""

    def __init__(self, database: bytes) -> None:
        super().__init__()
        base = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
        self._folder = tempfile.TemporaryDirectory(dir=base, prefix="reelwork-simulation-")
        path = Path(self._folder.name) / "reelwork.db"
        path.write_bytes(database)
        ledger = open_ledger(f"sqlite:///{path}", clock=lambda: 0.0)
        assert isinstance(ledger, SqlLedger)
        self.ledger = ledger
        ledger.database.name = path.name  # errors tell it, and its folder has another name in every run
        self._make_commits_fail(ledger.database)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self.eye = self._connection
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('alembic_version')"
        self._tables = [name for (name,) in self.eye.execute(query)]

    def _make_commits_fail(self, database: Database) -> None:
        write = database.write

        @contextmanager
        def failing_write(*, is_durable: bool = True) -> Iterator[Connection]:
            with write(is_durable=is_durable) as connection:
                yield connection
                if not self.is_reliable and self.commit_fails():
                    self.has_failed = True
                    raise sqlite3.OperationalError("disk I/O error")

        database.write = failing_write  # type: ignore[method-assign]

    def begin(self, clock: Callable[[], float], dice: Random) -> None:  # noqa: ARG002
        self.ledger.clock = clock
        self.rivals.clear()
        self.commit_fails = lambda: False
        self.eye.execute("BEGIN")
        for table in self._tables:
            self.eye.execute(f"DELETE FROM {table}")
        self.eye.execute("COMMIT")

    def open(self) -> Ledger:
        return self.ledger

    def late(self, commit: Callable[[], object]) -> Callable[[], object]:
        return commit

    def close(self) -> None:
        self._connection.close()
        self.ledger.close()
        self._folder.cleanup()
