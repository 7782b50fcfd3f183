"""What a trace is made of: a job was submitted, a delivery was handled, events were published and stages completed by
it, the conductor moved the job on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from random import getrandbits
from typing import TYPE_CHECKING, Concatenate, Final, NamedTuple, ParamSpec

import structlog

from reelwork.broker import Delivery
from reelwork.ledger import Completion, Job, StageStatus
from reelwork.ledger.work import Publishable
from reelwork.message import Message
from reelwork.runtime.declaration import Subscription
from reelwork.runtime.tracing.identity import SAMPLED, TraceParent, parsed, span_id_of, trace_id_of
from reelwork.runtime.tracing.switch import exporter

if TYPE_CHECKING:
    from reelwork.runtime.tracing.exporter import Exporter

LINKS_MAX: Final = 32
P = ParamSpec("P")

log = structlog.get_logger("reelwork.tracing")


class Client(NamedTuple):
    """Who asks: the span of its own that it told us, and when it began to, epoch ns."""

    parent: TraceParent | None
    since_ns: int


_client: Final[ContextVar[Client | None]] = ContextVar("reelwork_tracing_client", default=None)


def client(traceparent: str | None) -> None:
    """A request has come, with this header; the span of what it submits begins now, and is linked to it."""
    if exporter() is not None:
        _client.set(Client(parsed(traceparent) if traceparent else None, time.time_ns()))


def _if_on(tell: Callable[Concatenate[Exporter, P], None]) -> Callable[P, None]:
    """Does nothing where nobody traces, and never raises: what is told has happened already."""

    @wraps(tell)
    def told(*arguments: P.args, **named: P.kwargs) -> None:
        on = exporter()
        if on is None:
            return
        try:
            tell(on, *arguments, **named)
        except Exception as error:
            log.warning("reelwork.tracing.failed", error=f"{type(error).__name__}: {error}")

    return told


@_if_on
def submitted(to: Exporter, job_id: str, pipeline: str, event: Publishable) -> None:
    """The root of a trace."""
    asked = _client.get() or Client(None, time.time_ns())
    to.span(
        f"submit {pipeline}",
        job_id,
        span_id=_root(job_id),
        parent_id=None,
        kind="server",
        started_ns=asked.since_ns,
        attributes={"reelwork.pipeline": pipeline},
        links=[asked.parent] if asked.parent else (),
    )
    _published(to, event, _root(job_id))


@_if_on
def handled(
    to: Exporter,
    subscription: Subscription,
    delivery: Delivery,
    *,
    started_ns: int,
    assets: int = 0,
    failed: int = 0,
    error: str | None = None,
) -> None:
    """A delivery was in the hands of a worker. assets: tried this time, `failed` of them in vain."""
    message, stage = delivery.message, subscription.stage
    to.span(
        f"process {delivery.queue}",
        message.job_id,
        span_id=_of_delivery(delivery),
        parent_id=span_id_of(message.event_id),
        kind="consumer",
        started_ns=started_ns,
        attributes={
            "messaging.system": "reelwork",
            "messaging.operation.type": "process",
            "messaging.destination.name": delivery.queue,
            "messaging.message.id": message.event_id,
            "reelwork.service": subscription.service,
            "reelwork.attempt": delivery.attempts + 1,
            "reelwork.assets": assets,
            "reelwork.assets_failed": failed,
            **({} if stage is None else {"reelwork.stage": stage.name}),
        },
        error=error,
    )


@_if_on
def caused(
    to: Exporter,
    deliveries: Sequence[Delivery],
    events: Sequence[Publishable | Message],
    completions: Sequence[Completion],
) -> None:
    """What was recorded with the work on some deliveries of a job; the last of them made a stage complete."""
    parent_id = _of_delivery(deliveries[-1])
    for event in events:
        _published(to, event, parent_id)
    for completion in completions:
        others = [
            TraceParent(trace_id_of(completion.job_id), _of_delivery(delivery), SAMPLED)
            for delivery in deliveries[-1 - LINKS_MAX : -1]
        ]
        _completed(to, completion, parent_id, others)


@_if_on
def swept(to: Exporter, completions: Sequence[Completion]) -> None:
    """Nobody's delivery completed them, but time did."""
    for completion in completions:
        _completed(to, completion, _root(completion.job_id), [])


@_if_on
def moved(
    to: Exporter, job: Job, phase: str | None, stages: Sequence[StageStatus], events: Sequence[Publishable]
) -> None:
    """The conductor moved a job on, to a phase or to its end, because these stages have completed."""
    fired = sorted((s for s in stages if s.completion is not None), key=lambda stage: stage.completed_at or 0)
    causes = [span_id_of(stage.completion.event_id) for stage in fired if stage.completion is not None]
    parent_id = causes[-1] if causes else _root(job.job_id)
    span_id = span_id_of(job.job_id, "moved", phase or "completed")
    trace_id = trace_id_of(job.job_id)
    to.span(
        f"move to {phase or 'completed'}",
        job.job_id,
        span_id=span_id,
        parent_id=parent_id,
        attributes={"reelwork.pipeline": job.pipeline, "reelwork.phase": phase or "completed"},
        links=[TraceParent(trace_id, cause, SAMPLED) for cause in causes[:-1][-LINKS_MAX:]],
    )
    for event in events:
        _published(to, event, span_id)


def _root(job_id: str) -> int:
    return span_id_of("submit", job_id)


def _of_delivery(delivery: Delivery) -> int:
    """A message may be handed out again and again, and be replayed: each time is a span of its own."""
    if not delivery.span_id:
        delivery.span_id = getrandbits(63) + 1
    return delivery.span_id


def _published(to: Exporter, event: Publishable | Message, parent_id: int) -> None:
    event_id = event.event_id if isinstance(event, Message) else str(event.identity)
    to.span(
        f"publish {event.topic}",
        event.job_id,
        span_id=span_id_of(event_id),
        parent_id=parent_id,
        kind="producer",
        attributes={
            "messaging.system": "reelwork",
            "messaging.operation.type": "send",
            "messaging.destination.name": event.topic,
            "messaging.message.id": event_id,
        },
    )


def _completed(to: Exporter, completion: Completion, parent_id: int, others: Sequence[TraceParent]) -> None:
    to.span(
        f"complete {completion.stage}",
        completion.job_id,
        span_id=span_id_of(completion.event_id),
        parent_id=parent_id,
        kind="producer",
        attributes={
            "messaging.system": "reelwork",
            "messaging.operation.type": "send",
            "messaging.destination.name": completion.topic,
            "messaging.message.id": completion.event_id,
            "reelwork.stage": completion.stage,
            "reelwork.reason": completion.reason,
            "reelwork.total_assets": completion.total_assets,
            "reelwork.processed_assets": completion.processed_assets,
            "reelwork.failed_assets": completion.failed_assets,
        },
        links=others,
    )
