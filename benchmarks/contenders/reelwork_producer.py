"""Publishes runs into Reelwork from a process of its own: a job, its announcement, and its units in bounded groups."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from contenders.producer import Run
from contenders.reelwork_pipeline import EVENTS, UnitsReady

from reelwork.ledger import Work
from reelwork.message import Message
from reelwork.runtime.backends import Backends, open_backends
from reelwork.runtime.jobs import Jobs
from reelwork.settings import Config

EVENTS_PER_WORK = 100


class ReelworkPublisher:
    def __init__(self, backends: Backends, loop: asyncio.AbstractEventLoop) -> None:
        self._backends = backends
        self._loop = loop
        self._jobs = Jobs(backends.ledger, backends.catalogue)
        self._new_id = backends.world.new_id  # what `context.new_id` gives a handler
        self._first_unit: UnitsReady | None = None

    def publish(self, run: Run) -> None:
        job_id = self._jobs.create("fan-in", job_id=self._new_id(), input_path="", parameters={"number": run.number})
        batch, ready = EVENTS[run.kind]
        announcement = batch(job_id=job_id, event_id=self._new_id(), total_units=run.units)
        firsts = range(0, run.units, run.group)
        for start in range(0, len(firsts), EVENTS_PER_WORK):
            events = [
                ready(
                    job_id=job_id,
                    event_id=self._new_id(),
                    base=run.base,
                    first=first,
                    count=min(run.group, run.units - first),
                    is_slow=run.has_slow_unit and first + run.group >= run.units,
                )
                for first in firsts[start : start + EVENTS_PER_WORK]
            ]
            if start == 0:
                self._first_unit = events[0]
            self._backends.ledger.commit(Work(events=[announcement, *events] if start == 0 else events))

    def repeat_first_unit(self) -> None:
        """As a broker does that lost an acknowledgement: the same message, with the same id."""
        event = self._first_unit
        assert event is not None
        message = Message(event_id=str(event.identity), job_id=event.job_id, topic=event.topic, body=event.body())
        asyncio.run_coroutine_threadsafe(self._backends.broker.publish([message]), self._loop).result()


@contextmanager
def opened() -> Iterator[ReelworkPublisher]:
    """The loop runs beside the producer's own thread, so that connections to brokers stay alive."""
    loop = asyncio.new_event_loop()
    beside = threading.Thread(target=loop.run_forever)
    beside.start()
    backends = asyncio.run_coroutine_threadsafe(open_backends(Config()), loop).result()
    try:
        yield ReelworkPublisher(backends, loop)
    finally:
        asyncio.run_coroutine_threadsafe(backends.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        beside.join()
