"""What every handler, of every system alike, notes: when a unit of work ended, and that the completion arrived.

Standard library only, for it is loaded by systems that do not know each other. The clock is CLOCK_MONOTONIC, which all
processes of a machine share. It must cost next to nothing: eight bytes into shared memory for a unit.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import time
from functools import cache
from pathlib import Path

SLOTS = "FAN_IN_SLOTS"
ARRIVALS = "FAN_IN_ARRIVALS"
SLOT = struct.Struct("d")
ARRIVAL = struct.Struct("qdq")
SLOW_UNIT_SECONDS = 1.0


def unit(slot: int) -> int:
    """Notes that the unit of this slot was worked on, now. Returns 1, for systems that hand on what units return."""
    SLOT.pack_into(_slots(), slot * SLOT.size, time.monotonic())
    return 1


def completed(run: int, counted: int | None) -> None:
    """Tells that the completion of a run has arrived, now. counted: how many units it speaks of; None: it is silent."""
    at = time.monotonic()
    _line().send(ARRIVAL.pack(run, at, -1 if counted is None else counted))


@cache
def _slots() -> mmap.mmap:
    with Path(os.environ[SLOTS]).open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)


@cache
def _line() -> socket.socket:
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.connect(("127.0.0.1", int(os.environ[ARRIVALS])))
    return line
