"""Where the benchmark reads what all processes note: the end of every unit, and the arrival of every completion."""

from __future__ import annotations

import socket
import struct
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contenders import note

SLOTS_MAX = 2**18


class NoCompletion(Exception):
    """A run did not complete in the time it may take."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """at: seconds of the monotonic clock. counted: units that the completion speaks of; None where it is silent."""

    at: float
    counted: int | None


class Board:
    def __init__(self, slots: Path, line: socket.socket) -> None:
        self._path = slots
        self._line = line
        self._arrivals: dict[int, list[Arrival]] = defaultdict(list)

    @property
    def environment(self) -> Mapping[str, str]:
        """For every process that notes something."""
        return {note.SLOTS: str(self._path), note.ARRIVALS: str(self._line.getsockname()[1])}

    def clear(self) -> None:
        """Forgets every unit and every completion. No run may be under way."""
        with self._path.open("r+b") as file:
            file.write(bytes(SLOTS_MAX * note.SLOT.size))
        self._arrivals.clear()

    def ends(self, base: int, units: int) -> list[float]:
        """When each of these units ended; 0.0 where it has not."""
        with self._path.open("rb") as file:
            file.seek(base * note.SLOT.size)
            return list(struct.unpack(f"{units}d", file.read(units * note.SLOT.size)))

    def arrivals(self, run: int) -> list[Arrival]:
        return self._arrivals[run]

    def wait(self, runs: Iterable[int], *, seconds: float) -> None:
        """Returns when each of the runs has completed. Raises NoCompletion."""
        missing = {run for run in runs if not self._arrivals[run]}
        deadline = time.monotonic() + seconds
        while missing:
            if not self.listen(deadline - time.monotonic()):
                raise NoCompletion(f"{len(missing)} completions did not arrive within {seconds:.0f} s")
            missing = {run for run in missing if not self._arrivals[run]}

    def listen(self, seconds: float) -> bool:
        """Takes the next completion; False when none came."""
        self._line.settimeout(max(seconds, 0.001))
        try:
            run, at, counted = note.ARRIVAL.unpack(self._line.recv(note.ARRIVAL.size))
        except TimeoutError:
            return False
        self._arrivals[run].append(Arrival(at, None if counted < 0 else counted))
        return True


@contextmanager
def open_board() -> Iterator[Board]:
    """In shared memory where there is some, so that noting never waits for a disk."""
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(prefix="fan-in-", dir=memory if memory.is_dir() else None) as folder,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line,
    ):
        slots = Path(folder) / "slots"
        slots.touch()
        line.bind(("127.0.0.1", 0))
        board = Board(slots, line)
        board.clear()
        yield board
