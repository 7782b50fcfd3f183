"""What has happened in this process, in numbers. Plain dictionaries: counting costs less than a microsecond, needs no
library, and never fails.

A worker process hands its numbers to its supervisor, which adds them up: those of a process that has died stay counted.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

Series = tuple[str, tuple[str, ...]]
"""The name of a metric, and the values of its labels."""


class Numbers(NamedTuple):
    """counts: by series. spreads: by series, how many observations fell into each bucket of a histogram, then their
    sum.
    """

    counts: dict[Series, float]
    spreads: dict[Series, list[float]]


class Tally:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = Numbers({}, {})

    def count(self, name: str, labels: tuple[str, ...], by: float) -> None:
        series = (name, labels)
        with self._lock:
            counts = self._numbers.counts
            counts[series] = counts.get(series, 0) + by

    def observe(self, name: str, labels: tuple[str, ...], value: float, bounds: Sequence[float], times: int) -> None:
        """bounds: upper, inclusive, of the buckets; what is beyond them has one of its own."""
        bucket = bisect_left(bounds, value)
        series = (name, labels)
        with self._lock:
            spread = self._numbers.spreads.get(series)
            if spread is None:
                spread = self._numbers.spreads[series] = [0.0] * (len(bounds) + 2)
            spread[bucket] += times
            spread[-1] += value * times

    def add(self, numbers: Numbers) -> None:
        """Adds what another process has counted."""
        with self._lock:
            for series, count in numbers.counts.items():
                self._numbers.counts[series] = self._numbers.counts.get(series, 0) + count
            for series, spread in numbers.spreads.items():
                before = self._numbers.spreads.get(series, [0.0] * len(spread))
                self._numbers.spreads[series] = [a + b for a, b in zip(before, spread, strict=True)]

    def take(self) -> Numbers:
        """All numbers, which begin at zero again."""
        with self._lock:
            taken, self._numbers = self._numbers, Numbers({}, {})
        return taken

    def numbers(self) -> Numbers:
        """All numbers, which go on."""
        with self._lock:
            return Numbers(
                dict(self._numbers.counts), {name: [*spread] for name, spread in self._numbers.spreads.items()}
            )


TALLY: Final = Tally()
"""This process's."""


def to_json(numbers: Numbers) -> list[Any]:
    return [[[*series, value] for series, value in part.items()] for part in numbers]


def from_json(document: Any) -> Numbers:
    """Raises ValueError or TypeError for what `to_json` did not make."""
    counts, spreads = document
    return Numbers(
        {(str(name), tuple(labels)): float(value) for name, labels, value in counts},
        {(str(name), tuple(labels)): [float(each) for each in value] for name, labels, value in spreads},
    )
