"""The command `reelwork` as tests run it: real processes, which end with the test even when the test is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

COMMAND_SECONDS_MAX = 240
DIES_WITH_ITS_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv(sys.executable, [sys.executable, "-c", "from reelwork.cli import main; main()", *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """Its standard output, which must be one JSON document."""
        assert self.stdout, self
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Running:
    """A command that runs; `told` is the JSON document that it printed when it was ready."""

    process: subprocess.Popen[str]
    told: dict[str, Any]

    def workers(self) -> list[psutil.Process]:
        children: list[psutil.Process] = psutil.Process(self.process.pid).children()
        return [child for child in children if "reelwork.runtime.process" in child.cmdline()]

    def stop(self, signal: int) -> int:
        """Its exit status."""
        self.process.send_signal(signal)
        return self.process.wait(COMMAND_SECONDS_MAX)


def start(
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    stderr: int | None = subprocess.PIPE,
    prefix: Sequence[str] = (),
) -> subprocess.Popen[str]:
    """`prefix` is a command that becomes the one behind it, such as `env` or `unshare`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("REELWORK_")}
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", DIES_WITH_ITS_PARENT, *map(str, arguments)],
        env={**own, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def reelwork(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Ended:
    """Runs a command to its end."""
    with start(*arguments, environment=environment) as process:
        try:
            stdout, stderr = process.communicate(timeout=COMMAND_SECONDS_MAX)
        finally:
            process.kill()
    return Ended(process.returncode, stdout, stderr)


@contextmanager
def running(
    arguments: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> Iterator[Running]:
    """A command that runs until it is stopped, from the line on that says that it is ready."""
    with start(*arguments, "--json", environment=environment, stderr=None, prefix=prefix) as process:
        try:
            assert process.stdout is not None
            yield Running(process, json.loads(process.stdout.readline()))
        finally:
            process.kill()
