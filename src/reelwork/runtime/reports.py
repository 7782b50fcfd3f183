"""What a worker process tells its supervisor: how it is, and what it has counted since it last said so.

The two talk over the worker's standard input, a socket: a line of JSON now and then one way, its end the other way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from typing import Final, NamedTuple

from reelwork.runtime.crew import WorkerState
from reelwork.runtime.metrics.tally import TALLY, Numbers, from_json, to_json

REPORT_SECONDS: Final = 1.0
REPORT_BYTES_MAX: Final = 1 << 20
SEND_SECONDS_MAX: Final = 2.0


class Report(NamedTuple):
    state: WorkerState
    numbers: Numbers


def encoded(report: Report) -> bytes:
    return json.dumps([report.state, to_json(report.numbers)], separators=(",", ":")).encode() + b"\n"


def decoded(line: bytes) -> Report:
    """Raises ValueError or TypeError for what is no report."""
    state, numbers = json.loads(line)
    return Report(WorkerState(state), from_json(numbers))


class Reporter:
    """The worker's side. Where standard input is no socket nobody wants to hear, and nothing is sent."""

    def __init__(self) -> None:
        self._line = _standard_input()

    async def run(self, stop: asyncio.Event) -> None:
        """Reports until `stop`, and that it has come."""
        while not stop.is_set():
            await self.send(WorkerState.WORKING)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPORT_SECONDS):
                    await stop.wait()
        await self.send(WorkerState.DRAINING)

    async def send(self, state: WorkerState) -> None:
        """A supervisor that does not listen loses what it is not told; the worker goes on."""
        if self._line is None:
            return
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(SEND_SECONDS_MAX):
                report = encoded(Report(state, TALLY.take()))
                await asyncio.get_running_loop().sock_sendall(self._line, report)


def _standard_input() -> socket.socket | None:
    try:
        if not stat.S_ISSOCK(os.fstat(0).st_mode):
            return None
    except OSError:  # closed
        return None
    line = socket.socket(fileno=os.dup(0))
    line.setblocking(False)
    return line
