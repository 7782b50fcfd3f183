"""The same units in Dramatiq: a group with a completion callback, its counters on Valkey, its messages there or on
RabbitMQ. Callbacks have a queue of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep

import dramatiq
import redis
from contenders import note
from contenders.producer import Run
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend

URL = os.environ["FAN_IN_VALKEY"]
RABBITMQ = os.environ.get("FAN_IN_RABBITMQ")
QUEUE = "dramatiq:default"

broker: dramatiq.Broker
if RABBITMQ is None:
    broker = RedisBroker(url=URL)
else:
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    broker = RabbitmqBroker(url=RABBITMQ)
broker.add_middleware(GroupCallbacks(RedisBackend(url=URL)))
dramatiq.set_broker(broker)


@dramatiq.actor
def unit(slot: int) -> None:
    note.unit(slot)


@dramatiq.actor
def slow_unit(slot: int) -> None:
    sleep(note.SLOW_UNIT_SECONDS)
    note.unit(slot)


@dramatiq.actor(queue_name="completions")
def completed(number: int) -> None:
    note.completed(number, None)


class DramatiqPublisher:
    def __init__(self) -> None:
        self._valkey = redis.Redis.from_url(URL)
        self._first_unit: dramatiq.Message | None = None

    def publish(self, run: Run) -> None:
        units = [unit.message(slot) for slot in run.slots]
        if run.has_slow_unit:
            units[-1] = slow_unit.message(run.slots[-1])
        group = dramatiq.group(units)
        group.add_completion_callback(completed.message(run.number))
        group.run()

    def repeat_first_unit(self) -> None:
        """As Dramatiq itself does for a worker that it takes for dead: the same message is queued again."""
        self._first_unit = self._first_unit or self._waiting_first()
        broker.enqueue(self._first_unit)

    def _waiting_first(self) -> dramatiq.Message:
        if RABBITMQ is not None:
            taken, _, body = broker.channel.basic_get("default")
            broker.channel.basic_nack(taken.delivery_tag, requeue=True)
            return dramatiq.Message.decode(body)
        waiting = self._valkey.lindex(QUEUE, 0)
        assert waiting is not None, "it must be repeated once before any worker takes it"
        return dramatiq.Message.decode(self._valkey.hget(f"{QUEUE}.msgs", waiting))


@contextmanager
def opened() -> Iterator[DramatiqPublisher]:
    yield DramatiqPublisher()
