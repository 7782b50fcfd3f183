"""Whatever happens to a job, its spans are one connected trace; and whatever happens to the collector, jobs go on."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import structlog

from reelwork.broker import Message, Topology
from reelwork.broker.redis import RedisBroker
from reelwork.errors import PermanentError
from reelwork.ledger import CompletionPolicy
from reelwork.runtime import Context, Phase, tracing
from reelwork.runtime.tracing import exporter as exporter_module
from reelwork.runtime.tracing.identity import span_id_of, trace_id_of
from tests.house import (
    ITEMS,
    STAGE,
    Event,
    House,
    ItemDone,
    ItemsBatch,
    ItemsCompleted,
    ItemsReady,
    ends_service,
    open_house,
    plain_service,
    run,
    stage_service,
)
from tests.otlp import Collector, Span, collector, unconnected
from tests.valkey import shared_server

PHASES = (Phase(name="work", stages=(STAGE,)), Phase(name="end", stages=None))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collector() as here:
        for name, value in here.environment.items():
            monkeypatch.setenv(name, value)
        yield here


def plan(_: Event, context: Context) -> None:
    context.start_job()
    job_id = context.job.job_id
    context.emit(ItemsBatch(job_id=job_id, event_id=uuid4(), total=4))
    context.emit(ItemsReady(job_id=job_id, event_id=uuid4(), names=["a", "b"]))
    context.emit(ItemsReady(job_id=job_id, event_id=uuid4(), names=["c"]))
    context.emit(ItemsReady(job_id=job_id, event_id=uuid4(), names=["d"]))


tries: Counter[str] = Counter()


def work(_: ItemsReady, context: Context) -> None:
    assert context.asset is not None
    name = context.asset.asset_id
    tries[context.job.job_id + name] += 1
    if name == "c" and tries[context.job.job_id + name] == 1:
        raise RuntimeError("out of luck")
    if name == "d":
        raise PermanentError("unreadable")
    context.emit(ItemDone(job_id=context.job.job_id, name=name))


def end(_: ItemsCompleted, context: Context) -> None:
    context.complete_job(output_path="results")


async def a_job(house: House) -> str:
    job_id = house.submit()
    await house.run_dry()
    assert house.job(job_id).status == "completed"
    return job_id


def of_job(spans: list[Span], job_id: str) -> list[Span]:
    """All that there are, which must be of it."""
    assert {span.trace_id for span in spans} == {f"{trace_id_of(job_id):032x}"}
    assert len({span.span_id for span in spans}) == len(spans)
    assert unconnected(spans) == []
    assert [span.name for span in spans if not span.parent_id] == ["submit tiny"]
    return spans


def services() -> list[object]:
    return [plain_service(plan), stage_service(work), ends_service(end)]


@pytest.mark.parametrize("in_memory", [False, True])
def test_retries_failures_and_late_replays_are_in_it(tmp_path: Path, here: Collector, in_memory: bool) -> None:
    async def test() -> str:
        async with open_house(tmp_path, *services(), phases=PHASES, in_memory=in_memory) as house:
            tracing.start("test")  # a house with its broker in memory does not do it
            job_id = await a_job(house)
            house.replay(job_id)
            await house.run_dry()
            await tracing.stop()
            return job_id

    job_id = run(test())
    spans = of_job(here.spans, job_id)
    names = Counter(span.name for span in spans)
    assert names[f"process {ITEMS}"] == 5, "three deliveries, a retry and a replay"
    assert names[f"complete {STAGE}"] == names["move to end"] == names["publish job.completed"] == 1
    assert names["publish tiny.item.done"] == 3
    errors = [span.error for span in spans if span.error]
    assert errors == ["c: RuntimeError: out of luck"]
    groups = [span.attributes for span in spans if span.name == f"process {ITEMS}"]
    assert sorted((group["reelwork.assets"], group["reelwork.assets_failed"]) for group in groups) == [
        (1, 0),
        (1, 1),
        (1, 1),
        (1, 1),
        (2, 0),
    ]
    (completed,) = (span for span in spans if span.name == f"complete {STAGE}")
    assert completed.attributes["reelwork.reason"] == "settled"
    assert completed.attributes["reelwork.failed_assets"] == 1


def test_what_time_completes_hangs_at_the_submit(tmp_path: Path, here: Collector) -> None:
    async def test() -> str:
        policy = CompletionPolicy(100, 60)
        async with open_house(tmp_path, plain_service(start), stage_service(work, policy=policy)) as house:
            job_id = house.submit()
            await house.settle()
            house.announce(job_id, 5)
            await house.settle()
            house.clock.advance(61)
            assert len(await house.sweeper().sweep()) == 1
            return job_id

    job_id = run(test())
    assert {span.trace_id for span in here.spans} == {f"{trace_id_of(job_id):032x}"}
    spans = {span.name: span for span in here.spans}
    assert spans[f"complete {STAGE}"].parent_id == spans["submit tiny"].span_id
    assert spans[f"complete {STAGE}"].attributes["reelwork.reason"] == "watermark"


def start(_: Event, context: Context) -> None:
    context.start_job()


@pytest.mark.parametrize(
    ("sampler", "rate", "sampled"),
    [("always_off", "", 0), ("traceidratio", "0", 0), ("parentbased_traceidratio", "1", 1)],
)
def test_the_sampler_of_the_environment_decides_for_whole_jobs(
    tmp_path: Path, here: Collector, monkeypatch: pytest.MonkeyPatch, sampler: str, rate: str, sampled: int
) -> None:
    async def test() -> None:
        async with open_house(tmp_path, *services(), phases=PHASES) as house:
            message = Message("e", await a_job(house), "t", "{}")
            assert (tracing.traceparent(message) or "").endswith(f"-0{sampled}")

    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", rate)
    run(test())
    assert len({span.trace_id for span in here.spans}) == sampled


@pytest.mark.usefixtures("here")
def test_messages_carry_it_where_the_broker_has_headers() -> None:
    async def test() -> None:
        valkey = shared_server()
        prefix = valkey.new_prefix()
        broker = RedisBroker(valkey.url(prefix=prefix))
        await broker.declare(Topology.of([("t", "q.t")]))
        job_id = str(uuid4())
        await broker.publish([Message("untraced", job_id, "t", "{}")])
        tracing.start("test")
        broker.trace_context = tracing.traceparent
        await broker.publish([Message("traced", job_id, "t", "{}")])
        await tracing.stop()
        (_, first), (_, second) = valkey.execute("XRANGE", f"{prefix}:q.t", "-", "+")
        assert "traceparent" not in first
        assert second["traceparent"] == f"00-{job_id.replace('-', '')}-{span_id_of('traced'):016x}-01"
        assert [each.message.event_id for each in await broker.receive("q.t", limit=9, wait_seconds=0)] == [
            "untraced",
            "traced",
        ]
        await broker.close()

    asyncio.run(test())


@pytest.mark.parametrize("trouble", ["away", "refuses", "silent"])
def test_a_collector_in_trouble_costs_spans_and_nothing_else(
    tmp_path: Path, here: Collector, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    async def test() -> float:
        async with open_house(tmp_path, *services(), phases=PHASES) as house:
            await a_job(house)
            ended = time.monotonic()
        return time.monotonic() - ended

    monkeypatch.setattr(exporter_module, "FLUSH_SECONDS_MAX", 0.5)
    here.status = 400
    with socket.create_server(("127.0.0.1", 0)) as silent:
        urls = {
            "away": "http://127.0.0.1:1",
            "refuses": here.url,
            "silent": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", urls[trouble])
        with structlog.testing.capture_logs() as lines:
            assert run(test()) < 2.0
    assert here.spans == []
    told = [line for line in lines if line["event"] == "reelwork.tracing.export_failed"]
    assert len(told) <= 1, "a line a minute"
    assert told or trouble == "silent"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_it_is_off_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    tracing.start("test")
    assert not tracing.is_on()
    asyncio.run(tracing.stop())


def test_without_the_package_it_says_how_to_get_it(here: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, exporter_module.__name__)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with structlog.testing.capture_logs() as lines:
        tracing.start("test")
    assert not tracing.is_on()
    assert "pip install 'reelwork[tracing]'" in lines[0]["error"]
    asyncio.run(tracing.stop())
    assert here.requests == 0
