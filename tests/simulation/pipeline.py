"""A pipeline of three stages: a plan fans out stage a; when that is complete, stages b and c are fanned out side by
side; when both are complete, the job is finished. Every handler leaves one event behind for every time it took effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from reelwork.events import Announcement, Asset, AssetEvent, Event, IdentifiedEvent, StageCompleted
from reelwork.ledger import Job
from reelwork.runtime import Catalogue, Phase, Pipeline, Service
from reelwork.runtime.context import Context
from tests.simulation.scenario import Scenario, StageShape

NAME = "simulated"


class Submitted(Event):
    topic = "simulated.submitted"


class More(Event):
    topic = "simulated.more"


class Finish(Event):
    topic = "simulated.finish"


class Effect(IdentifiedEvent):
    """Says that something took effect; its id is new each time, so that twice is seen as twice."""

    topic = "simulated.effect"
    of: str


class Batch(Announcement):
    total: int

    @property
    def expected(self) -> int:
        return self.total


class Ready(AssetEvent):
    names: list[str]

    def assets(self) -> Sequence[Asset]:
        return [Asset(name, weight=1 + int(name)) for name in self.names]


class BatchA(Batch):
    topic = "simulated.a.batch"


class BatchB(Batch):
    topic = "simulated.b.batch"


class BatchC(Batch):
    topic = "simulated.c.batch"


class ReadyA(Ready):
    topic = "simulated.a.ready"


class ReadyB(Ready):
    topic = "simulated.b.ready"


class ReadyC(Ready):
    topic = "simulated.c.ready"


class CompletedA(StageCompleted):
    topic = "simulated.a.completed"


class CompletedB(StageCompleted):
    topic = "simulated.b.completed"


class CompletedC(StageCompleted):
    topic = "simulated.c.completed"


BATCHES: dict[str, type[Batch]] = {"a": BatchA, "b": BatchB, "c": BatchC}
READY: dict[str, type[Ready]] = {"a": ReadyA, "b": ReadyB, "c": ReadyC}
COMPLETED: dict[str, type[StageCompleted]] = {"a": CompletedA, "b": CompletedB, "c": CompletedC}


class Actor(Protocol):
    """Plays what a handler does to its process; returns when it does well."""

    async def play(self, job_id: str, thing: str) -> None: ...
    def play_in_thread(self, job_id: str, thing: str) -> None: ...
    def stage_shape(self, job_id: str, stage: str) -> StageShape: ...


class NoParameters(BaseModel):
    pass


def ready_events(job_id: str, stage: str, names: Sequence[str], per_message: int, new_id: Any) -> list[Event]:
    return [
        READY[stage](job_id=job_id, event_id=new_id(), names=list(names[first : first + per_message]))
        for first in range(0, len(names), per_message)
    ]


def batch(job_id: str, stage: str, total: int, new_id: Any) -> Event:
    return BATCHES[stage](job_id=job_id, event_id=new_id(), total=total)


def fan_out(job_id: str, stage: str, shape: StageShape, new_id: Any) -> list[Event]:
    """The events of a stage, with the announcement where its shape puts it."""
    events = ready_events(job_id, stage, shape.names, shape.per_message, new_id)
    announced = batch(job_id, stage, shape.total, new_id)
    match shape.announcement:
        case "first":
            return [announced, *events]
        case "last":
            return [*events, announced]
        case "twice":
            return [announced, *events, batch(job_id, stage, shape.total, new_id)]
        case "grown":
            return [batch(job_id, stage, max(shape.total - 1, 0), new_id), announced, *events]
        case "shrunk":
            return [announced, *events, batch(job_id, stage, max(shape.total - 1, 0), new_id)]
        case _:  # late, never
            return events


def catalogue(scenario: Scenario, actor: Actor) -> Catalogue:
    services = (_planner(actor), *(_stage_service(stage, scenario, actor) for stage in BATCHES), _audience(actor))
    phases = (
        Phase(name="first", stages=("a",)),
        Phase(name="second", stages=("b", "c"), request=_request_more),
        Phase(name="last", stages=None, request=_request_finish),
    )
    pipeline = Pipeline(name=NAME, parameters=NoParameters, submitted=Submitted, phases=phases, services=services)
    return Catalogue.of([pipeline])


def _request_more(job: Job) -> Event:
    return More(job_id=job.job_id)


def _request_finish(job: Job) -> Event:
    return Finish(job_id=job.job_id)


def _planner(actor: Actor) -> Service:
    service = Service("planner")

    @service.on(Submitted, queue="q.plan")
    async def plan(event: Submitted, context: Context) -> None:
        context.start_job()
        _emit(actor, context, "plan", ["a"])
        await actor.play(event.job_id, "plan")

    @service.on(More, queue="q.more")
    async def more(event: More, context: Context) -> None:
        _emit(actor, context, "more", ["b", "c"])
        await actor.play(event.job_id, "more")

    @service.on(Finish, queue="q.finish")
    async def finish(event: Finish, context: Context) -> None:
        await actor.play(event.job_id, "finish")
        _emit(actor, context, "finish", [])
        context.complete_job(output_path="results")

    return service


def _emit(actor: Actor, context: Context, of: str, stages: Sequence[str]) -> None:
    job_id = context.job.job_id
    context.emit(Effect(job_id=job_id, event_id=context.new_id(), of=of))
    for stage in stages:
        for event in fan_out(job_id, stage, actor.stage_shape(job_id, stage), context.new_id):
            context.emit(event)


def _stage_service(stage: str, scenario: Scenario, actor: Actor) -> Service:
    service = Service(f"stage-{stage}")

    async def work(event: Ready, context: Context) -> dict[str, str]:
        assert context.asset is not None
        await actor.play(event.job_id, f"{stage}/{context.asset.asset_id}")
        return took_effect(context)

    def work_in_thread(event: Ready, context: Context) -> dict[str, str]:
        assert context.asset is not None
        actor.play_in_thread(event.job_id, f"{stage}/{context.asset.asset_id}")
        return took_effect(context)

    def took_effect(context: Context) -> dict[str, str]:
        assert context.asset is not None
        _emit(actor, context, f"{stage}/{context.asset.asset_id}", [])
        return {"attempt": context.attempt}

    handler: Any = work_in_thread if scenario.in_threads else work
    service.on(READY[stage], queue=f"q.{stage}", prefetch=scenario.prefetch)(handler)
    service.stage(stage, announced_by=BATCHES[stage], completes_with=COMPLETED[stage], policy=scenario.policies[stage])(
        handler
    )
    return service


def _audience(actor: Actor) -> Service:
    service = Service("audience")

    def listen(stage: str) -> None:
        @service.on(COMPLETED[stage], queue=f"q.heard.{stage}")
        async def heard(event: StageCompleted, context: Context) -> None:
            await actor.play(event.job_id, f"heard/{stage}")
            _emit(actor, context, f"heard/{stage}", [])

    for stage in COMPLETED:
        listen(stage)
    return service
