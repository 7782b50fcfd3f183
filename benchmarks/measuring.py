"""What the benchmarks share: alternated pairs, medians with their spread, and where a figure was taken."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CACHE = Path(__file__).resolve().parents[1] / ".cache"
PAIRS_MIN = 7
FSYNC_PROBES = 50
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and how far the single measurements lie around it."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values), len(values))

    def text(self, form: str) -> str:
        """For a table: `1.08  (1.02 to 1.15)`."""
        return f"{self.median:{form}}  ({self.low:{form}} to {self.high:{form}})"

    def as_json(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Seconds of two things, measured by turns. Ratios are taken within a pair, so that slow drift cancels out."""

    first: list[float]
    second: list[float]

    @property
    def ratio(self) -> Spread:
        """first / second."""
        return Spread.of([first / second for first, second in zip(self.first, self.second, strict=True)])


def alternated(first: Callable[[], float], second: Callable[[], float], pairs: int) -> Pairs:
    """Measures both `pairs` times, warm, and every other time in the other order. Each returns its seconds."""
    first()
    second()
    seconds: dict[Callable[[], float], list[float]] = {first: [], second: []}
    for number in range(pairs):
        for measure in (first, second) if number % 2 == 0 else (second, first):
            seconds[measure].append(measure())
    return Pairs(seconds[first], seconds[second])


def stopwatch(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A new folder under `parent`; nothing of it is left behind."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="benchmark-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def where(folder: Path) -> dict[str, Any]:
    """The machine, its load, and the disk under `folder`: without them no figure means anything."""
    file_system = _file_system(folder)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "folder": str(folder),
        "file_system": file_system,
        "in_memory": file_system in MEMORY_FILE_SYSTEMS,
        "fsync_ms": round(_fsync_ms(folder), 3),
    }


def where_in_words(place: dict[str, Any]) -> str:
    warning = "; WARNING: this is memory, durability costs nothing here" if place["in_memory"] else ""
    return (
        f"{place['date']}, {place['processor']}, {place['cores']} cores, load {place['load']}, {place['kernel']}, "
        f"Python {place['python']}, SQLite {place['sqlite']}\n"
        f"in {place['folder']} ({place['file_system']}, a 4 kB write with fsync takes {place['fsync_ms']} ms{warning})"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _file_system(folder: Path) -> str:
    """Its type, by the longest mount point that holds the folder; `unknown` where there is no /proc."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown"
    holding = [mount for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    return max(holding, key=lambda mount: len(mount[1]))[2] if holding else "unknown"


def _fsync_ms(folder: Path) -> float:
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:

        def write() -> None:
            file.write(b"\0" * 4096)
            os.fsync(file.fileno())

        return statistics.median(stopwatch(write) for _ in range(FSYNC_PROBES)) * 1000
