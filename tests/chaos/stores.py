"""The stores under fire, and the blows that only each of them can be dealt. A new one joins by one line in STORES."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from tests.postgresql import PostgresqlServer, postgresql_server

LOCKS: Final = Path("/proc/locks")
CLIENTS: Final = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
WRITER: Final = f"SELECT client_port {CLIENTS} AND backend_xid IS NOT NULL AND state = 'idle in transaction' LIMIT 1"
CUT_ONE: Final = f"SELECT pg_terminate_backend(pid) {CLIENTS} ORDER BY backend_xid IS NULL, random() LIMIT 1"
CUT_ALL: Final = f"SELECT pg_terminate_backend(pid) {CLIENTS}"
Writer = Callable[[], int | None]


@dataclass(frozen=True, kw_only=True)
class Store:
    """settings: what processes need to know of it, beside their data folder. watch: gives a function that tells the id
    of a process which is in the middle of a commit now. blows: what can be done to its server, by name.
    """

    url: str
    watch: Callable[[], AbstractContextManager[Writer]]
    settings: Mapping[str, str] = field(default_factory=dict)
    blows: Mapping[str, Callable[[], object]] = field(default_factory=dict)


@contextlib.contextmanager
def sqlite(folder: Path) -> Iterator[Store]:
    """It has no server; what can be hit is a process that holds the lock of its commit."""
    path = folder / "data" / "reelwork.db"
    lock = path.with_name(f"{path.name}.lock")
    yield Store(url=f"sqlite:///{path}", watch=lambda: contextlib.nullcontext(partial(lock_holder, lock)))


def lock_holder(path: Path) -> int | None:
    """Who holds the `flock` on a file now. None also where the kernel does not tell, which only Linux does."""
    if not LOCKS.exists():
        return None
    inode = str(path.stat().st_ino)
    for line in LOCKS.read_text().splitlines():
        _, kind, *rest = line.split()
        if kind == "FLOCK":  # who only waits for it has an arrow here
            _, _, pid, place, *_ = rest
            if place.rpartition(":")[2] == inode:
                return int(pid)
    return None


@contextlib.contextmanager
def postgresql(_folder: Path) -> Iterator[Store]:
    """A server of its own, which waits for the disk as in production: its connections are cut, and it dies itself."""
    with postgresql_server(durable=True) as server:
        url = server.new_database(migrated=False)
        database = url.rpartition("/")[2]

        def die() -> None:
            server.kill()
            server.restart()

        yield Store(
            url=url,
            settings={"REELWORK_DATABASE_URL": url},
            watch=lambda: watch_transactions(server, url),
            blows={
                "connection cut": lambda: server.execute(CUT_ONE, database),
                "all connections cut": lambda: server.execute(CUT_ALL, database),
                "database restarted": server.restart,
                "database killed": die,
            },
        )


@contextlib.contextmanager
def watch_transactions(server: PostgresqlServer, url: str) -> Iterator[Writer]:
    """Tells whose transaction has written something and waits for its next statement."""
    import psycopg

    clients = {
        connection.laddr[1]: connection.pid
        for connection in psutil.net_connections("tcp4")
        if connection.raddr and connection.raddr[1] == server.port
    }
    with psycopg.connect(url, autocommit=True) as connection:

        def writer() -> int | None:
            row = connection.execute(WRITER.encode()).fetchone()
            return clients.get(row[0]) if row else None

        yield writer


STORES: Mapping[str, Callable[[Path], AbstractContextManager[Store]]] = {"sqlite": sqlite, "postgresql": postgresql}
