"""A pipeline whose assets are no work at all, as its author would declare it: with a coroutine, and with a thread."""

from __future__ import annotations

import asyncio
import time

from contenders import note
from pydantic import BaseModel

from reelwork import Context, Phase, Pipeline, Service
from reelwork.events import Announcement, Asset, AssetEvent, Event, StageCompleted
from reelwork.ledger import CompletionPolicy

ALL = CompletionPolicy(threshold_percentage=100)


class Parameters(BaseModel):
    """number: of the run, for whoever hears of its completion."""

    number: int


class RunSubmitted(Event):
    topic = "fan_in.submitted"


class UnitsBatch(Announcement):
    total_units: int

    @property
    def expected(self) -> int:
        return self.total_units


class UnitsReady(AssetEvent):
    """`count` units from `first` on; `base` is the slot of unit 0."""

    base: int
    first: int
    count: int
    is_slow: bool = False

    def assets(self) -> list[Asset]:
        return [Asset(f"{number:06d}") for number in range(self.first, self.first + self.count)]


class CoroutineBatch(UnitsBatch):
    topic = "fan_in.coroutine.batch"


class CoroutineReady(UnitsReady):
    topic = "fan_in.coroutine.ready"


class CoroutineCompleted(StageCompleted):
    topic = "fan_in.coroutine.completed"


class ThreadBatch(UnitsBatch):
    topic = "fan_in.thread.batch"


class ThreadReady(UnitsReady):
    topic = "fan_in.thread.ready"


class ThreadCompleted(StageCompleted):
    topic = "fan_in.thread.completed"


starter, coroutine, thread, consumer = (Service(f"fan-in-{name}") for name in ("jobs", "coroutine", "thread", "end"))


@starter.on(RunSubmitted, queue="q.fan_in.jobs")
async def start(_event: RunSubmitted, context: Context) -> None:
    context.start_job()


@coroutine.stage("fan_in.coroutine", announced_by=CoroutineBatch, completes_with=CoroutineCompleted, policy=ALL)
@coroutine.on(CoroutineReady, queue="q.fan_in.coroutine")
async def work_in_a_coroutine(event: CoroutineReady, context: Context) -> None:
    assert context.asset is not None
    if event.is_slow:
        await asyncio.sleep(note.SLOW_UNIT_SECONDS)
    note.unit(event.base + int(context.asset.asset_id))


@thread.stage("fan_in.thread", announced_by=ThreadBatch, completes_with=ThreadCompleted, policy=ALL)
@thread.on(ThreadReady, queue="q.fan_in.thread")
def work_in_a_thread(event: ThreadReady, context: Context) -> None:
    assert context.asset is not None
    if event.is_slow:
        time.sleep(note.SLOW_UNIT_SECONDS)
    note.unit(event.base + int(context.asset.asset_id))


@consumer.on(CoroutineCompleted, queue="q.fan_in.coroutine.completed")
@consumer.on(ThreadCompleted, queue="q.fan_in.thread.completed")
async def hear_of_the_completion(event: StageCompleted, context: Context) -> None:
    note.completed(context.job.parameters["number"], event.processed_assets)
    context.complete_job(output_path=f"jobs/{event.job_id}/nothing")


EVENTS: dict[str, tuple[type[UnitsBatch], type[UnitsReady]]] = {
    "coroutine": (CoroutineBatch, CoroutineReady),
    "thread": (ThreadBatch, ThreadReady),
}

pipeline = Pipeline(
    name="fan-in",
    parameters=Parameters,
    submitted=RunSubmitted,
    phases=(Phase(name="units", stages=None),),
    services=(starter, coroutine, thread, consumer),
)
