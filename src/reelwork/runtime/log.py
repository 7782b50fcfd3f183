"""Structured logs on standard error: one line an event, named `reelwork.noun.verb`, its subject by fixed names.

A line about a delivery has service, queue, stage, job_id, event_id and attempt; what a handler logs has them too, and
the asset_id. Every line with a job_id has the trace_id of its trace. A line that cannot be written stops no work.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, Final, Literal, NamedTuple, TextIO

import structlog

from reelwork.broker import Delivery
from reelwork.runtime.declaration import Subscription
from reelwork.runtime.tracing.identity import trace_id_of

ASSETS_NAMED_MAX: Final = 10
LogFormat = Literal["auto", "json", "console"]


class AtWork(NamedTuple):
    """What a handler is called for just now."""

    subscription: Subscription
    delivery: Delivery
    asset_id: str | None = None


AT_WORK: Final[ContextVar[AtWork | None]] = ContextVar("reelwork_at_work", default=None)


def configure_log(level: str, form: LogFormat = "auto", *, worker: str | None = None) -> None:
    """level: debug, info, warning or error. form: auto is JSON where nobody is watching, colours on a terminal.
    worker: the name of this process, for each of its lines.
    """
    on_terminal = sys.stderr.isatty() if form == "auto" else form == "console"
    renderer = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if on_terminal
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            with_work,
            with_trace,
            *([] if worker is None else [_with("worker", worker)]),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *([] if on_terminal else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping().get(level.upper(), 20)),
        logger_factory=lambda *_: _Lines(sys.stderr),
    )


def named(subscription: Subscription, delivery: Delivery) -> dict[str, Any]:
    """What every line about a delivery says of it."""
    names = {
        "service": subscription.service,
        "queue": delivery.queue,
        "job_id": delivery.message.job_id,
        "event_id": delivery.message.event_id,
        "attempt": delivery.attempts + 1,
    }
    return names if subscription.stage is None else {**names, "stage": subscription.stage.name}


def named_assets(asset_ids: Mapping[str, object]) -> dict[str, Any]:
    """The first of them by name."""
    return {"asset_ids": list(asset_ids)[:ASSETS_NAMED_MAX], "assets": len(asset_ids)}


def with_work(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Says for a handler what it is called for; what the line says by itself stays."""
    at_work = AT_WORK.get()
    if at_work is not None:
        for name, value in named(at_work.subscription, at_work.delivery).items():
            line.setdefault(name, value)
        if at_work.asset_id is not None:
            line.setdefault("asset_id", at_work.asset_id)
    return line


def with_trace(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    job_id = line.get("job_id")
    if isinstance(job_id, str):
        line.setdefault("trace_id", f"{trace_id_of(job_id):032x}")
    return line


def _with(name: str, value: str) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
    def add(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line.setdefault(name, value)
        return line

    return add


class _Lines:
    """Writes whole lines; one that cannot be written, to a full disk or a closed pipe, costs nobody his work."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.write(f"{message}\n")
            self._file.flush()

    log = debug = info = warning = warn = error = err = critical = fatal = exception = failure = msg
