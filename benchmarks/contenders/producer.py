"""The process that publishes, in the house of its own system: `python -m contenders.producer MODULE`.

One order a line on standard input, one answer a line on standard output; it ends with its input. Standard library only.
The module offers `opened()`, a context manager that gives its publisher.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One fan-out with its completion. base: slot of its first unit. has_slow_unit: the last one takes its time.

    kind, group: how a system that offers a choice is to do it: which handler, and how many units a message.
    """

    number: int
    base: int
    units: int
    has_slow_unit: bool = False
    kind: str = ""
    group: int = 1

    @property
    def slots(self) -> range:
        return range(self.base, self.base + self.units)


class Publisher(Protocol):
    def publish(self, run: Run) -> None:
        """Publishes every unit, and asks for a completion."""

    def repeat_first_unit(self) -> None:
        """Delivers the message of the first unit of the last run once more."""


class Module(Protocol):
    def opened(self) -> AbstractContextManager[Publisher]: ...


def main() -> None:
    module: Module = importlib.import_module(sys.argv[1])  # type: ignore[assignment]
    with module.opened() as publisher:
        orders: dict[str, Callable[..., Any]] = {
            "publish": lambda order: _publish(publisher, Run(**order["run"])),
            "load": lambda order: _load(publisher, [Run(**run) for run in order["runs"]], order["pause_seconds"]),
            "publish and repeat": lambda order: _publish_and_repeat(publisher, Run(**order["run"])),
            "repeat": lambda _order: publisher.repeat_first_unit(),
        }
        print(json.dumps({}), flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            print(json.dumps(orders[order["do"]](order)), flush=True)


def _publish(publisher: Publisher, run: Run) -> dict[str, float]:
    first = time.monotonic()
    publisher.publish(run)
    return {"first": first, "last": time.monotonic()}


def _publish_and_repeat(publisher: Publisher, run: Run) -> None:
    publisher.publish(run)
    publisher.repeat_first_unit()


def _load(publisher: Publisher, runs: Sequence[Run], pause_seconds: float) -> dict[str, float]:
    """Publishes the first run, and meanwhile the small ones behind it, evenly spread."""
    big, *small = runs

    def publish_small() -> None:
        for run in small:
            time.sleep(pause_seconds)
            publisher.publish(run)

    beside = threading.Thread(target=publish_small)
    beside.start()
    times = _publish(publisher, big)
    beside.join()
    return times


if __name__ == "__main__":
    main()
