"""Publishes runs into Reelwork from a process of its own: a job, its announcement, and its units in bounded groups."""

from __future__ import annotations

import asyncio
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
    def __init__(self, backends: Backends, runner: asyncio.Runner) -> None:
        self._backends = backends
        self._runner = runner
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
        self._runner.run(self._backends.broker.publish([message]))


@contextmanager
def opened() -> Iterator[ReelworkPublisher]:
    with asyncio.Runner() as runner:
        backends = runner.run(open_backends(Config()))
        try:
            yield ReelworkPublisher(backends, runner)
        finally:
            runner.run(backends.close())
