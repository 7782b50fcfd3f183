"""What handlers did, as they told it outside the ledger: one line a call, appended whole, whoever dies next."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

ADDRESS: Final = "REELWORK_CHAOS_DIARY"
LOOK_SECONDS: Final = 0.005


class Call(NamedTuple):
    """at: epoch ms at which a handler was called. what: the stage, or the topic of a plain event."""

    at: int
    pid: int
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
        line = " ".join([str(time.time_ns() // 1_000_000), str(os.getpid()), *words]) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def calls(self, *, after: int = 0) -> list[Call]:
        """Those behind the first `after` bytes."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(after)
            whole, _, _ = file.read().rpartition(b"\n")
            return [_call(line) for line in whole.decode().splitlines()]

    @property
    def size(self) -> int:
        """In bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def wait_for_calls(self, count: int, *, seconds_max: float) -> bool:
        """Whether so many handlers were called from now on, within that time."""
        start, deadline = self.size, time.monotonic() + seconds_max
        while len(self.calls(after=start)) < count:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True


def _call(line: str) -> Call:
    at, pid, *words = line.split()
    return Call(int(at), int(pid), *words)
