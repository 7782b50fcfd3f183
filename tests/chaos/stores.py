"""The stores under fire, and the blows that only each of them can be dealt. A new one joins by one line in STORES."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy import create_engine, text

from tests.chaos.fleet import Post
from tests.postgresql import PostgresqlServer, postgresql_server

LOCKS: Final = Path("/proc/locks")
CLIENTS: Final = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
WRITER: Final = f"SELECT client_port {CLIENTS} AND backend_xid IS NOT NULL AND state = 'idle in transaction' LIMIT 1"
CUT_ONE: Final = f"SELECT pg_terminate_backend(pid) {CLIENTS} ORDER BY backend_xid IS NULL, random() LIMIT 1"
CUT_ALL: Final = f"SELECT pg_terminate_backend(pid) {CLIENTS}"
WORKERS_EACH: Final = 2
Writer = Callable[[], int | None]


@dataclass(frozen=True, kw_only=True)
class Strike:
    """What can be done to a server or a network. deal: returns when it is over. times: how often it is dealt at least.
    machines: those that must work again afterwards; all where none is named. again: whether it is dealt more often.
    """

    deal: Callable[[], object]
    times: int = 1
    machines: Sequence[str] = ()
    again: bool = True


@dataclass(frozen=True, kw_only=True)
class Store:
    """url: of the ledger. posts: where parents run, the server first. settings: what a process of the tests is told.
    waiting: how many messages lie in a queue still, or in somebody's hands. watch: gives a function that tells the id
    of a process which is in the middle of a commit now; None where nobody can tell. strikes: by name.
    """

    url: str
    posts: Sequence[Post]
    waiting: Callable[[], int]
    watch: Callable[[], AbstractContextManager[Writer]] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    strikes: Mapping[str, Strike] = field(default_factory=dict)


@contextlib.contextmanager
def sqlite(folder: Path, _kills: int) -> Iterator[Store]:
    """It has no server; what can be hit is a process that holds the lock of its commit."""
    path = folder / "data" / "reelwork.db"
    lock, url = path.with_name(f"{path.name}.lock"), f"sqlite:///{path}"
    yield Store(
        url=url,
        posts=posts_here(folder, {}),
        waiting=partial(messages, url),
        watch=lambda: contextlib.nullcontext(partial(lock_holder, lock)),
    )


def posts_here(folder: Path, settings: Mapping[str, str]) -> list[Post]:
    """Two parents with workers on this machine, which share a folder."""
    return [Post(machine="here", data=folder / "data", workers=WORKERS_EACH, settings=settings)] * 2


def messages(url: str) -> int:
    """Of the `sql` broker."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM messages")).scalar_one())
    finally:
        engine.dispose()


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
def postgresql(folder: Path, _kills: int) -> Iterator[Store]:
    """A server of its own, which waits for the disk as in production: its connections are cut, and it dies itself."""
    with postgresql_server(durable=True) as server:
        url = server.new_database(migrated=False)
        database = url.rpartition("/")[2]

        def die() -> None:
            server.kill()
            server.restart()

        settings = {"REELWORK_DATABASE_URL": url}
        yield Store(
            url=url,
            posts=posts_here(folder, settings),
            waiting=partial(messages, url),
            settings=settings,
            watch=lambda: watch_transactions(server, url),
            strikes={
                "connection cut": Strike(deal=lambda: server.execute(CUT_ONE, database)),
                "all connections cut": Strike(deal=lambda: server.execute(CUT_ALL, database)),
                "database restarted": Strike(deal=server.restart),
                "database killed": Strike(deal=die),
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
