"""Everything that knows OpenTelemetry: spans with chosen ids, on their way to a collector by OTLP over HTTP.

Configured by OpenTelemetry's own variables. A collector that is slow, away or broken costs spans and nothing else.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation import set_span_in_context

from reelwork.runtime.tracing.identity import TraceParent, scrambled, trace_id_of

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

SERVICE: Final = "service.name"
QUEUED_SPANS_MAX: Final = 16_384
"""A plan of some thousand events is one commit; OTEL_BSP_MAX_QUEUE_SIZE says otherwise."""
FLUSH_SECONDS_MAX: Final = 3.0  # a supervisor that waits for its workers gives them 5
COMPLAINT_SECONDS: Final = 60.0
JOBS_KEPT: Final = 1_024
ERROR_CHARACTERS_MAX: Final = 500

log = structlog.get_logger("reelwork.tracing")


class Exporter:
    """Thread-safe. name: of this process, among those of its service."""

    def __init__(self, name: str) -> None:
        _hear_complaints()
        self._ids = _ChosenIds()
        self._provider = TracerProvider(resource=_resource(name), id_generator=self._ids, shutdown_on_exit=False)
        self._sampler = self._provider.sampler = _JobSampler(self._provider.sampler)
        queue_size = None if "OTEL_BSP_MAX_QUEUE_SIZE" in os.environ else QUEUED_SPANS_MAX
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=queue_size))
        self._tracer = self._provider.get_tracer("reelwork")
        self.is_sampled = lru_cache(JOBS_KEPT)(self._is_sampled)

    def _is_sampled(self, job_id: str) -> bool:
        """Every process decides the same, as long as they have the same OTEL_TRACES_SAMPLER."""
        decision = self._sampler.should_sample(None, trace_id_of(job_id), "job").decision
        return decision is Decision.RECORD_AND_SAMPLE

    def span(
        self,
        name: str,
        job_id: str,
        *,
        span_id: int,
        parent_id: int | None,
        kind: str = "internal",
        started_ns: int | None = None,
        ended_ns: int | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[TraceParent] = (),
        error: str | None = None,
    ) -> None:
        """One span, whole. Times are epoch ns; now where there is none."""
        if not self.is_sampled(job_id):
            return
        trace_id = trace_id_of(job_id)
        context = Context()
        if parent_id is not None:
            context = set_span_in_context(NonRecordingSpan(_context(TraceParent(trace_id, parent_id, 1))), context)
        self._ids.choose(trace_id, span_id)
        span = self._tracer.start_span(
            name,
            context=context,
            kind=SpanKind[kind.upper()],
            attributes={"reelwork.job_id": job_id, **(attributes or {})},
            links=[Link(_context(link)) for link in links],
            start_time=started_ns or time.time_ns(),
        )
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error[:ERROR_CHARACTERS_MAX]))
        span.end(end_time=ended_ns or time.time_ns())

    def close(self) -> None:
        """Sends what it has, and leaves what a collector does not take in time."""
        closing = threading.Thread(target=self._provider.shutdown, name="reelwork-tracing-close", daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS_MAX)


def _context(parent: TraceParent) -> SpanContext:
    return SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=TraceFlags(parent.flags))


def _resource(name: str) -> Resource:
    """What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, and otherwise a name of ours."""
    given: Mapping[str, Any] = OTELResourceDetector().detect().attributes
    own = {SERVICE: "reelwork", "service.instance.id": name}
    return Resource.create({key: value for key, value in own.items() if key not in given})


class _ChosenIds(IdGenerator):
    """Gives out the ids that were chosen for the next span of this thread."""

    def __init__(self) -> None:
        self._next = threading.local()

    def choose(self, trace_id: int, span_id: int) -> None:
        self._next.trace_id, self._next.span_id = trace_id, span_id

    def generate_trace_id(self) -> int:
        trace_id: int = self._next.trace_id
        return trace_id

    def generate_span_id(self) -> int:
        span_id: int = self._next.span_id
        return span_id


class _JobSampler(Sampler):
    """The sampler of the environment, asked about an id whose bits are all random."""

    def __init__(self, inner: Sampler) -> None:
        self._inner = inner

    def should_sample(
        self, parent_context: Context | None, trace_id: int, *arguments: Any, **named: Any
    ) -> SamplingResult:
        return self._inner.should_sample(parent_context, scrambled(trace_id), *arguments, **named)

    def get_description(self) -> str:
        return self._inner.get_description()


class _Complaints(logging.Handler):
    """What the library has to say goes into our log, a line a minute: a collector that is away says the same again
    and again.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._quiet_until = 0.0
        self._passed_over = 0

    def emit(self, record: logging.LogRecord) -> None:
        if time.monotonic() < self._quiet_until:
            self._passed_over += 1
            return
        self._quiet_until = time.monotonic() + COMPLAINT_SECONDS
        passed_over, self._passed_over = self._passed_over, 0
        log.warning("reelwork.tracing.export_failed", error=record.getMessage(), passed_over=passed_over)


def _hear_complaints() -> None:
    logger = logging.getLogger("opentelemetry")
    for handler in logger.handlers[:]:
        if isinstance(handler, _Complaints):
            logger.removeHandler(handler)
    logger.addHandler(_Complaints())
    logger.propagate = False
