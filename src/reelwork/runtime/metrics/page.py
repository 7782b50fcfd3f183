"""The page that Prometheus reads. Only this module needs prometheus-client, and only when it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from reelwork.errors import ReelworkError
from reelwork.runtime.crew import Crew
from reelwork.runtime.metrics.catalogue import COUNTERS, HISTOGRAMS, Counter, Histogram
from reelwork.runtime.metrics.present import Look
from reelwork.runtime.metrics.tally import TALLY, Numbers

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

Labels = tuple[str, ...]
INSTALL: Final = "metrics need prometheus-client, which is not installed; fix it with: pip install 'reelwork[metrics]'"


class MetricsMissing(ReelworkError):
    """prometheus-client is not installed; the text is the command that installs it."""


class Page(NamedTuple):
    body: bytes
    content_type: str


def render(accept: str, *, queues: Sequence[str], crew: Crew | None = None, look: Look | None = None) -> Page:
    """In the form that the header Accept asks for. queues: of the catalogue, whose counters begin at zero.

    Raises MetricsMissing.
    """
    try:
        from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
        from prometheus_client.exposition import choose_encoder
    except ImportError as error:
        raise MetricsMissing(INSTALL) from error
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families([*_events(TALLY.numbers(), queues), *_crew(crew), *_present(look)]))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return Page(encode(registry), content_type)


class _Families:
    """What the registry asks for its families."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _events(numbers: Numbers, queues: Sequence[str]) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

    for counter in COUNTERS:
        counts = CounterMetricFamily(counter.name, counter.help, labels=counter.labels)
        own = {labels: count for (name, labels), count in numbers.counts.items() if name == counter.name}
        for labels, count in sorted({**_zeroes(counter, queues), **own}.items()):
            counts.add_metric(labels, count)
        yield counts
    for histogram in HISTOGRAMS:
        spreads = HistogramMetricFamily(histogram.name, histogram.help, labels=histogram.labels)
        for (name, labels), spread in sorted(numbers.spreads.items()):
            if name == histogram.name:
                spreads.add_metric(labels, _buckets(histogram, spread), spread[-1])
        yield spreads


def _zeroes(counter: Counter, queues: Sequence[str]) -> dict[Labels, float]:
    """What is there from the beginning, so that the first retry of a queue is seen as a growth."""
    if counter.labels == ("queue",):
        return {(queue,): 0.0 for queue in queues}
    return {} if counter.labels else {(): 0.0}


def _buckets(histogram: Histogram, spread: Sequence[float]) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus has them."""
    names = [*map(str, histogram.bounds), "+Inf"]
    return list(zip(names, accumulate(spread[:-1]), strict=True))


def _gauge(name: str, text: str, values: Mapping[Labels, float], labels: Sequence[str] = ()) -> Metric:
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(name, text, labels=labels)
    for own, value in values.items():
        family.add_metric(own, value)
    return family


def _crew(crew: Crew | None) -> Iterator[Metric]:
    yield _gauge("reelwork_build_info", "The version of Reelwork.", {(version("reelwork"),): 1}, ["version"])
    if crew is not None:
        states: dict[Labels, float] = {(state.value,): float(count) for state, count in crew.by_state().items()}
        yield _gauge("reelwork_worker_processes", "Worker processes of this node.", states, ["state"])


def _present(look: Look | None) -> Iterator[Metric]:
    if look is None:
        return
    up: dict[Labels, float] = {("ledger",): float(look.census is not None), ("broker",): float(look.depths is not None)}
    yield _gauge("reelwork_backend_up", "Whether it answered.", up, ["backend"])
    if look.depths is not None:
        yield from _queues(look)
    census = look.census
    if census is None:
        return

    def age(since_ms: int | None) -> float:
        return 0.0 if since_ms is None else max(look.at_ms - since_ms, 0) / 1000

    def labelled(counts: Mapping[str, int]) -> dict[Labels, float]:
        return {(label,): float(count) for label, count in counts.items()}

    open_stages: dict[Labels, float] = {(name,): stages.number for name, stages in census.open_stages.items()}
    born: dict[Labels, float] = {(name,): age(stages.born_at) for name, stages in census.open_stages.items()}
    yield _gauge("reelwork_jobs", "Jobs that are not over.", labelled(census.jobs), ["status"])
    yield _gauge("reelwork_jobs_ended_last_hour", "Jobs that ended.", labelled(census.ended), ["status"])
    yield _gauge("reelwork_open_stages", "Stages that are open.", open_stages, ["stage"])
    yield _gauge(
        "reelwork_open_stage_oldest_age_seconds",
        "Since the oldest open stage was born.",
        born,
        ["stage"],
    )
    yield _gauge(
        "reelwork_watermark_overdue_seconds",
        "Since when the watermark of an open stage is past; it is held back, or nobody sweeps.",
        {(): age(census.due_since)},
    )
    yield _gauge("reelwork_outbox_unpublished", "Events that no broker has confirmed.", {(): census.unpublished})
    yield _gauge("reelwork_outbox_oldest_age_seconds", "Of the oldest of them.", {(): age(census.unpublished_since)})
    yield _gauge(
        "reelwork_outbox_unconsumed", "Published, not yet known to be consumed everywhere.", {(): census.unconsumed}
    )
    yield _gauge(
        "reelwork_open_dead_letters", "Dead letters that nobody has replayed.", labelled(census.dead_letters), ["queue"]
    )


def _queues(look: Look) -> Iterator[Metric]:
    depths = look.depths or {}
    messages: dict[Labels, float] = {(queue, "waiting"): depth.waiting for queue, depth in depths.items()}
    messages |= {(queue, "in_hand"): d.in_hand for queue, d in depths.items() if d.in_hand is not None}
    ages: dict[Labels, float] = {
        (queue,): depth.oldest_seconds for queue, depth in depths.items() if depth.oldest_seconds is not None
    }
    yield _gauge("reelwork_queue_messages", "Messages of all jobs.", messages, ["queue", "state"])
    yield _gauge("reelwork_queue_oldest_age_seconds", "Of the oldest that waits.", ages, ["queue"])
