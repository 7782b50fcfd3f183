"""The same units in Celery: a chord, its results on Valkey, its messages there or on RabbitMQ.

Callbacks have a queue of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep
from typing import Any

import amqp
import redis
from celery import Celery, chord
from contenders import note
from contenders.producer import Run

URL = os.environ["FAN_IN_VALKEY"]
RABBITMQ = os.environ.get("FAN_IN_RABBITMQ")
QUEUE = "celery"

app = Celery("fan_in", broker=RABBITMQ or URL, backend=URL)
app.conf.task_routes = {"contenders.celery_app.completed": {"queue": "completions"}}


@app.task
def unit(slot: int) -> int:
    return note.unit(slot)


@app.task
def slow_unit(slot: int) -> int:
    sleep(note.SLOW_UNIT_SECONDS)
    return note.unit(slot)


@app.task
def completed(results: list[int | None], number: int) -> None:
    note.completed(number, sum(result or 0 for result in results))


class CeleryPublisher:
    def __init__(self) -> None:
        self._valkey = redis.Redis.from_url(URL)
        self._first_unit: Any = None

    def publish(self, run: Run) -> None:
        units = [unit.s(slot) for slot in run.slots]
        if run.has_slow_unit:
            units[-1] = slow_unit.s(run.slots[-1])
        chord(units)(completed.s(run.number))

    def repeat_first_unit(self) -> None:
        """As Celery itself does when the visibility timeout is over, or RabbitMQ when a connection broke: the same
        message once more.
        """
        if RABBITMQ is None:
            self._first_unit = self._first_unit or self._valkey.lindex(QUEUE, -1)
            assert self._first_unit is not None, "it must be repeated once before any worker takes it"
            self._valkey.rpush(QUEUE, self._first_unit)
            return
        with app.connection_for_write() as connection, connection.channel() as channel:
            if self._first_unit is None:
                taken = channel.basic_get(QUEUE)
                self._first_unit = amqp.Message(taken.body, **taken.properties)
                channel.basic_reject(taken.delivery_tag, requeue=True)
            channel.basic_publish(self._first_unit, routing_key=QUEUE)


@contextmanager
def opened() -> Iterator[CeleryPublisher]:
    yield CeleryPublisher()
