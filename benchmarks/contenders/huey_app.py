"""The same units in Huey: a chord, on Valkey. An instance has one queue, so callbacks share it with the units."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep

from contenders import note
from contenders.producer import Run
from huey import RedisHuey
from huey.api import chord

huey = RedisHuey("fan_in", url=os.environ["FAN_IN_VALKEY"])


@huey.task()
def unit(slot: int) -> int:
    return note.unit(slot)


@huey.task()
def slow_unit(slot: int) -> int:
    sleep(note.SLOW_UNIT_SECONDS)
    return note.unit(slot)


@huey.task()
def completed(number: int, results: list[int | None]) -> None:
    note.completed(number, sum(result or 0 for result in results))


class HueyPublisher:
    def __init__(self) -> None:
        self._first_unit: bytes | None = None

    def publish(self, run: Run) -> None:
        units = [unit.s(slot) for slot in run.slots]
        if run.has_slow_unit:
            units[-1] = slow_unit.s(run.slots[-1])
        huey.enqueue(chord(units, completed.s(run.number)))

    def repeat_first_unit(self) -> None:
        """The same message in the queue again, as by a publisher that tries again. Huey itself never delivers twice:
        it takes a message off the queue before it works on it, and a worker that dies loses it.
        """
        if self._first_unit is None:
            (self._first_unit,) = huey.storage.enqueued_items(limit=1)
        huey.storage.enqueue(self._first_unit)


@contextmanager
def opened() -> Iterator[HueyPublisher]:
    yield HueyPublisher()
