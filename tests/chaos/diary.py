"""What handlers did, as they told it outside the ledger: one line a call, appended whole, whoever dies next.

Its times come from the kernel's monotonic clock, because the clocks of machines are set wrong by other tests.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

ADDRESS: Final = "REELWORK_CHAOS_DIARY"
MACHINE: Final = "REELWORK_CHAOS_MACHINE"
"""Names the machine that a process runs on."""
LOOK_SECONDS: Final = 0.005


class Call(NamedTuple):
    """at: epoch ms at which a handler was called, by the clock of the tests. what: the stage, or the topic of a plain
    event.
    """

    at: int
    pid: int
    machine: str
    job_id: str
    what: str
    asset_id: str
    attempt: str

    @property
    def work(self) -> tuple[str, str, str]:
        """What must count once, however often it is called for."""
        return self.job_id, self.what, self.asset_id


@dataclass(frozen=True)
class Diary:
    path: Path

    @staticmethod
    @cache
    def here() -> Diary:
        """In a handler: the diary of this run."""
        return Diary(Path(os.environ[ADDRESS]))

    def note(self, *words: str) -> None:
        """One write, so that lines of many processes never mix."""
        line = " ".join([str(_monotonic_ms()), str(os.getpid()), os.environ[MACHINE], *words]) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def calls(self) -> list[Call]:
        return self._read(0)[0]

    def follow(self, *, seconds_max: float) -> Iterator[Call]:
        """The calls from now on, as they come, for that long at most."""
        place, deadline = self.path.stat().st_size if self.path.exists() else 0, time.monotonic() + seconds_max
        while time.monotonic() < deadline:
            calls, place = self._read(place)
            yield from calls
            if not calls:
                time.sleep(LOOK_SECONDS)

    def _read(self, place: int) -> tuple[list[Call], int]:
        """The calls behind so many bytes, and where they end."""
        if not self.path.exists():
            return [], place
        with self.path.open("rb") as file:
            file.seek(place)
            whole, end, _ = file.read().rpartition(b"\n")
        return [_call(line) for line in whole.decode().splitlines()], place + len(whole) + len(end)


def _call(line: str) -> Call:
    at, pid, *words = line.split()
    return Call(int(at) + _epoch_of_monotonic_ms(), int(pid), *words)


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@cache
def _epoch_of_monotonic_ms() -> int:
    return time.time_ns() // 1_000_000 - _monotonic_ms()
