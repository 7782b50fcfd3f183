"""A real server for tests, kept by a process of its own that ends it when the tests end, however they end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]


class KeptServer:
    """module: run as a program it is the keeper, which obeys `restart` and `kill`, and answers with a line of JSON."""

    def __init__(self, name: str, module: str, *arguments: str) -> None:
        self._name = name
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,  # Ctrl-C is for the tests, which then let the server go
        )
        self.folder, self.port, self.pid = "", 0, 0
        self._hear()

    def restart(self) -> None:
        """Stops it as `systemctl restart` does, if it runs, and starts it on the same port and folder."""
        self._order("restart")

    def kill(self) -> None:
        """Kills it with SIGKILL; `restart` brings it back."""
        self._order("kill")

    def stop(self) -> None:
        """Ends it for good."""
        with contextlib.suppress(BrokenPipeError):
            self._keeper.communicate()

    def _order(self, command: str) -> None:
        assert self._keeper.stdin is not None
        print(command, file=self._keeper.stdin, flush=True)
        self._hear()

    def _hear(self) -> None:
        assert self._keeper.stdout is not None
        line = self._keeper.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} did not start; its reason stands above")
        self.folder, self.port, self.pid = json.loads(line)


def demand(missing: Sequence[str]) -> None:
    """Skips the test where something is missing, but fails it where CI=true says that nothing may be."""
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"needs {' and '.join(missing)}")


def tell_tests(folder: Path, port: int, server: subprocess.Popen[Any] | None) -> None:
    """What a keeper answers."""
    print(json.dumps([str(folder), port, server.pid if server is not None else 0]), flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
