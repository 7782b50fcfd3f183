"""What counting and tracing cost where they cost most: no-op assets, one a message, on SQLite, in one worker process.

    python benchmarks/observing.py [--data DIR] [--units N] [--pairs N] [--quick] [--json]

By turns with and without: numbers counted or not, traces off, sampled out, or of every job (into a collector that takes
them and forgets them, in this very process, so that its work is in the figure).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

from measuring import CACHE, PAIRS_MIN, Pairs, alternated, scratch_folder, where, where_in_words
from pydantic import BaseModel

from reelwork import Context, Phase, Pipeline, Service
from reelwork.events import Announcement, Asset, AssetEvent, Event, StageCompleted
from reelwork.ledger import CompletionPolicy, Work
from reelwork.runtime.backends import open_backends
from reelwork.runtime.declaration import Catalogue
from reelwork.runtime.jobs import Jobs
from reelwork.runtime.metrics.tally import Tally
from reelwork.runtime.recorder import Recorder
from reelwork.runtime.worker import Worker
from reelwork.settings import Config

EVENTS_PER_WORK = 100
QUICK_PAIRS = 3


class NoParameters(BaseModel): ...


class Submitted(Event):
    topic = "observing.submitted"


class Units(Announcement):
    topic = "observing.units.batch"
    total: int

    @property
    def expected(self) -> int:
        return self.total


class Unit(AssetEvent):
    topic = "observing.unit.ready"
    number: int

    def assets(self) -> list[Asset]:
        return [Asset(f"{self.number:06d}")]


class Completed(StageCompleted):
    topic = "observing.completed"


def catalogue(handler: Callable[..., object], heard: Callable[[], None]) -> Catalogue:
    units, ends = Service("units"), Service("ends")
    units.on(Unit, queue="q.units")(handler)
    all_of_them = CompletionPolicy(threshold_percentage=100)
    units.stage("units", announced_by=Units, completes_with=Completed, policy=all_of_them)(handler)

    @ends.on(Submitted, queue="q.begin")
    async def begin(_: Submitted, context: Context) -> None:
        context.start_job()

    @ends.on(Completed, queue="q.end")
    async def end(_: Completed, context: Context) -> None:
        context.complete_job(output_path="nothing")
        heard()

    phases = (Phase(name="units", stages=None),)
    pipeline = Pipeline(
        name="observing", parameters=NoParameters, submitted=Submitted, phases=phases, services=(units, ends)
    )
    return Catalogue.of([pipeline])


async def in_a_coroutine(_: Unit, __: Context) -> None: ...


def in_a_thread(_: Unit, __: Context) -> None: ...


async def work_off(folder: Path, units: int, handler: Callable[..., object]) -> float:
    """Seconds from the first delivery to the completion of a job that waits in its queues."""
    done = asyncio.Event()
    config = Config(REELWORK_DATA_DIR=folder / uuid4().hex)
    backends = await open_backends(config, catalogue=catalogue(handler, done.set))
    try:
        job_id = Jobs(backends.ledger, backends.catalogue).create(
            "observing", job_id=uuid4(), input_path="", parameters={}
        )
        for first in range(0, units, EVENTS_PER_WORK):
            numbers = range(first, min(first + EVENTS_PER_WORK, units))
            backends.ledger.commit(Work(events=[Unit(job_id=job_id, event_id=uuid4(), number=n) for n in numbers]))
        backends.ledger.commit(Work(events=[Units(job_id=job_id, event_id=uuid4(), total=units)]))
        with ThreadPoolExecutor(4) as threads:
            worker = Worker(
                backends.catalogue.subscriptions,
                broker=backends.broker,
                handling=backends.handling(threads),
                world=backends.world,
                drain_seconds=5,
            )
            started = time.perf_counter()
            working = asyncio.create_task(worker.run())
            await done.wait()
            seconds = time.perf_counter() - started
            worker.stop()
            await working
        return seconds
    finally:
        await backends.close()


@contextlib.contextmanager
def uncounted() -> Iterator[None]:
    """As if nobody had ever written a counter into the runtime."""
    with (
        patch.object(Tally, "count", lambda *_: None),
        patch.object(Tally, "observe", lambda *_: None),
        patch.object(Recorder, "_count", lambda *_: None),
    ):
        yield


@contextlib.contextmanager
def traced(url: str, sampler: str) -> Iterator[None]:
    with patch.dict(os.environ, {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_SAMPLER": sampler}):
        yield


@contextlib.contextmanager
def collector() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=CACHE, help="folder on the disk to be measured")
    parser.add_argument("--units", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=PAIRS_MIN)
    parser.add_argument("--quick", action="store_true", help="few small measurements: does it run")
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    units, pairs = (2_000, QUICK_PAIRS) if arguments.quick else (arguments.units, arguments.pairs)
    with scratch_folder(arguments.data) as folder, collector() as url:
        place = where(folder)
        rows = [
            {"handler": name, "what": what, **figures(units, compared(folder, units, handler, way, other, pairs))}
            for name, handler in (("coroutine", in_a_coroutine), ("thread", in_a_thread))
            for what, way, other in (
                ("counted / not counted", contextlib.nullcontext, uncounted),
                ("traces sampled out / off", partial(traced, url, "always_off"), contextlib.nullcontext),
                ("every job traced / off", partial(traced, url, "always_on"), contextlib.nullcontext),
            )
        ]
    if arguments.as_json:
        print(json.dumps({"where": place, "units": units, "rows": rows}, indent=2))
        return 0
    print(where_in_words(place))
    for row in rows:
        ratio = "{median:.3f} ({low:.3f} to {high:.3f})".format(**row["ratio"])
        print(f"{row['handler']:10} {row['what']:26} {row['units_per_second']:>9,.0f} assets/s   seconds {ratio}")
    return 0


def compared(
    folder: Path,
    units: int,
    handler: Callable[..., object],
    way: Callable[[], contextlib.AbstractContextManager[None]],
    other: Callable[[], contextlib.AbstractContextManager[None]],
    pairs: int,
) -> Pairs:
    def measure(how: Callable[[], contextlib.AbstractContextManager[None]]) -> float:
        with how():
            return asyncio.run(work_off(folder, units, handler))

    return alternated(lambda: measure(way), lambda: measure(other), pairs)


def figures(units: int, measured: Pairs) -> dict[str, object]:
    return {
        "units_per_second": units / sorted(measured.first)[len(measured.first) // 2],
        "ratio": measured.ratio.as_json(),
    }


if __name__ == "__main__":
    sys.exit(main())
