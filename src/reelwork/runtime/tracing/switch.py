"""Whether this process traces, which the standard variables of OpenTelemetry say."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

import structlog

from reelwork.message import Message
from reelwork.runtime.tracing.identity import traceparent_of

if TYPE_CHECKING:
    from reelwork.runtime.tracing.exporter import Exporter

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
INSTALL: Final = "traces need OpenTelemetry, which is not installed; fix it with: pip install 'reelwork[tracing]'"

log = structlog.get_logger("reelwork.tracing")


class _Switch:
    """users: how many have started it; the last one to stop it closes it."""

    def __init__(self) -> None:
        self.exporter: Exporter | None = None
        self.users = 0


_switch: Final = _Switch()


def exporter() -> Exporter | None:
    return _switch.exporter


def is_on() -> bool:
    return _switch.exporter is not None


def start(name: str) -> None:
    """Begins to trace where an endpoint is given, and says so where it cannot."""
    _switch.users += 1
    if _switch.exporter is not None or not _is_wanted():
        return
    try:
        from reelwork.runtime.tracing.exporter import Exporter

        _switch.exporter = Exporter(name)
    except ImportError as error:
        log.warning("reelwork.tracing.off", error=f"{INSTALL} ({error})")
    except Exception as error:  # a variable that cannot be used must not stop the work
        log.warning("reelwork.tracing.off", error=str(error))


async def stop() -> None:
    """Sends what is left, some seconds long."""
    _switch.users = max(_switch.users - 1, 0)
    if not _switch.users and _switch.exporter is not None:
        exporter, _switch.exporter = _switch.exporter, None
        await asyncio.to_thread(exporter.close)


def traceparent(message: Message) -> str | None:
    """The header of a message; None where nobody traces."""
    exporter = _switch.exporter
    if exporter is None:
        return None
    return traceparent_of(message.job_id, message.event_id, is_sampled=exporter.is_sampled(message.job_id))


def _is_wanted() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    chosen = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if chosen:
        return chosen == "otlp"
    return any(os.environ.get(name, "").strip() for name in ENDPOINTS)
