"""A real RabbitMQ for tests, from the system's `rabbitmq-server`: its own folder, node name, cookie and free ports of
127.0.0.1, so that it neither meets nor disturbs one that runs as a service.

A keeper process of its own holds the server and its port mapper, and ends both when the process that asked for it is
gone, however it went.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final

from tests.kept_server import KeptServer, demand, free_port, tell_tests

PROGRAMS: Final = Path("/usr/lib/rabbitmq/bin")
USER: Final = "tester"
PASSWORD: Final = "s3cret"
MEMORY: Final = Path("/dev/shm")
MEMORY_BYTES_MIN: Final = 1 << 30
START_TRIES_MAX: Final = 3
START_SECONDS_MAX: Final = 60.0
ANSWER: Final = b"AMQP\x00\x00\x09\x01"


class RabbitServer(KeptServer):
    """settings: lines of rabbitmq.conf. Its only user has a password, and every right in the virtual host `/`."""

    def __init__(self, *settings: str) -> None:
        super().__init__("RabbitMQ", "tests.rabbitmq", json.dumps(settings))
        self._names = count()

    def url(
        self, *, prefix: str = "tests", user: str = USER, password: str = PASSWORD, vhost: str = "%2F", port: int = 0
    ) -> str:
        """port: of a link to it, where it is not to be reached straight."""
        return f"amqp://{user}:{password}@127.0.0.1:{port or self.port}/{vhost}?prefix={prefix}"

    def new_prefix(self) -> str:
        """One that nobody else uses."""
        return f"test{next(self._names)}"

    def control(self, *command: str) -> str:
        """Runs rabbitmqctl, which takes a second or two."""
        environment = json.loads((Path(self.folder) / "environment").read_text())
        done = subprocess.run(
            [PROGRAMS / "rabbitmqctl", "-q", *command], env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout


@contextlib.contextmanager
def rabbit_server(*settings: str) -> Iterator[RabbitServer]:
    """A server of one's own, to be restarted and killed at will. Skips the test where there is none."""
    _demand()
    server = RabbitServer(*settings)
    try:
        yield server
    finally:
        server.stop()


@cache
def shared_server() -> RabbitServer:
    """The one of this test run."""
    _demand()
    return RabbitServer()


def fresh_url() -> str:
    """On the shared server, with a prefix that nobody else uses."""
    server = shared_server()
    return server.url(prefix=server.new_prefix())


def _demand() -> None:
    missing = [] if (PROGRAMS / "rabbitmq-server").exists() else ["rabbitmq-server (apt-get install rabbitmq-server)"]
    missing += [] if importlib.util.find_spec("aiormq") else ["aiormq (make setup)"]
    demand(missing)


class _Keeper:
    """The other side: starts the server, obeys, and cleans up after it."""

    def __init__(self, folder: Path, settings: list[str]) -> None:
        self._folder = folder
        self._settings = settings
        self._server: subprocess.Popen[bytes] | None = None
        self._mapper: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._environment: dict[str, str] = {}

    def start(self) -> None:
        """On the ports that it had before. Its log is shown where it does not start."""
        for _ in range(START_TRIES_MAX):
            if not self._port:
                self._prepare()
            with open(self._folder / "log", "wb") as log:
                self._server = subprocess.Popen(
                    [PROGRAMS / "rabbitmq-server"],
                    env=self._environment,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    cwd=self._folder,
                    start_new_session=True,
                )
            if self._answers():
                return
            self.end(signal.SIGKILL)
            self._end_mapper()
            self._port = 0
        raise SystemExit((self._folder / "log").read_text(errors="replace")[-2_000:])

    def _prepare(self) -> None:
        """Its settings and environment, and the port mapper of its own."""
        self._port, distribution, mapper = free_port(), free_port(), free_port()
        settings = [
            f"listeners.tcp.1 = 127.0.0.1:{self._port}",
            f"default_user = {USER}",
            f"default_pass = {PASSWORD}",
            "log.console = true",
            "log.console.level = warning",
            "log.file = false",
            "disk_free_limit.absolute = 1MB",
            *self._settings,
        ]
        (self._folder / "rabbitmq.conf").write_text("\n".join([*settings, ""]))
        (self._folder / "plugins").write_text("[].\n")
        self._environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self._folder),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_AFLAGS": "-start_epmd false",
            "RABBITMQ_NODENAME": f"test{self._port}@localhost",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2",
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "logs"),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self._folder / "config"),
        }
        (self._folder / "environment").write_text(json.dumps(self._environment))
        command = ["epmd", "-address", "127.0.0.1", "-port", str(mapper)]
        self._mapper = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while self._mapper.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", mapper), 1):
                break

    def end(self, how: signal.Signals) -> None:
        """The server's process group: with SIGKILL its launcher could not pass the signal on."""
        if self._server is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, how)
        self._server.wait()
        self._server = None

    def _end_mapper(self) -> None:
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None

    def close(self) -> None:
        self.end(signal.SIGKILL)
        self._end_mapper()

    def tell(self) -> None:
        tell_tests(self._folder, self._port, self._server)

    def _answers(self) -> bool:
        """Waits until it speaks AMQP; False when it ended instead, or took too long."""
        assert self._server is not None
        deadline = time.monotonic() + START_SECONDS_MAX
        while self._server.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1) as probe:
                probe.settimeout(5)
                probe.sendall(ANSWER)
                if probe.recv(1):
                    return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(0.05)
        return False


def _place() -> Path | None:
    """Where nothing waits for a disk, if there is room."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN else None


def main(settings: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(
        prefix="rabbitmq-", dir=MEMORY if MEMORY.is_dir() else None, ignore_cleanup_errors=True
    ) as folder:
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
            keeper.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
