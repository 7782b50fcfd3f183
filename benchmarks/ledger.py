"""How many assets a second the ledger records on SQLite, at full durability, through its public face.

    python benchmarks/ledger.py [--data DIR] [--pairs N] [--quick] [--json]

Beside each figure stand bare `sqlite3` inserts of the same rows in transactions of the same size: what nobody can beat.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import count, islice
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random
from typing import Any

from measuring import CACHE, PAIRS_MIN, Pairs, Spread, alternated, scratch_folder, stopwatch, where, where_in_words
from rich.console import Console
from rich.table import Table

from reelwork.ledger import CompletionPolicy, JobProgressManager, open_ledger

STAGE = "benchmark.assets"
GROUP_SIZES = (1, 10, 100, 1000)
GOAL_SIZE, GOAL_ASSETS_PER_SECOND = 100, 60_000
GOAL_RATIO = 1.2
SMALL, LARGE = 10**3, 10**6
SMALL_STAGES = 5
CALLERS = 4
FILL_GROUP = 50_000
POLICY = CompletionPolicy(threshold_percentage=Decimal(100), watermark_ttl_seconds=None)


@dataclass(frozen=True)
class Plan:
    """How much is measured. assets: in one measurement of a group size."""

    pairs: int
    assets: dict[int, int]
    large: int
    assets_per_caller: dict[int, int]


FULL = Plan(
    pairs=PAIRS_MIN,
    assets={1: 1_000, 10: 10_000, 100: 60_000, 1000: 100_000},
    large=LARGE,
    assets_per_caller={1: 1_000, 100: 30_000},
)
QUICK = Plan(
    pairs=3,
    assets={1: 200, 10: 2_000, 100: 10_000, 1000: 20_000},
    large=100_000,
    assets_per_caller={1: 200, 100: 5_000},
)


def ordered_ids() -> Iterator[str]:
    return (f"frame-{number:012d}" for number in count())


def random_ids() -> Iterator[str]:
    random = Random(1)
    return (f"{random.getrandbits(128):032x}" for _ in count())


def groups(ids: Iterable[str], size: int, assets: int) -> list[list[str]]:
    """Made beforehand, so that it is not measured."""
    source = iter(ids)
    return [list(islice(source, size)) for _ in range(assets // size)]


@contextmanager
def opened(path: Path) -> Iterator[JobProgressManager]:
    ledger = open_ledger(f"sqlite:///{path}")
    try:
        yield JobProgressManager(ledger, policy=POLICY)
    finally:
        ledger.close()


class Bare:
    """The yardstick: the same rows under the same primary key, and nothing that makes a ledger of them."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute(
            "CREATE TABLE assets (job_id TEXT NOT NULL, stage TEXT NOT NULL, asset_id TEXT NOT NULL, "
            "state TEXT NOT NULL, weight BIGINT NOT NULL, late BOOLEAN NOT NULL, attempts INTEGER NOT NULL, "
            "result TEXT, error TEXT, recorded_at BIGINT NOT NULL, PRIMARY KEY (job_id, stage, asset_id)) WITHOUT ROWID"
        )

    def close(self) -> None:
        self.connection.close()

    def record_all(self, job_id: str, batches: Iterable[list[str]]) -> None:
        for batch in batches:
            self._record(job_id, batch)

    def _record(self, job_id: str, asset_ids: list[str]) -> None:
        now_ms = round(time.time() * 1000)
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(
            "INSERT INTO assets VALUES (?, ?, ?, 'done', 1, 0, 0, NULL, NULL, ?)",
            [(job_id, STAGE, asset_id, now_ms) for asset_id in asset_ids],
        )
        self.connection.execute("COMMIT")


def record_all(manager: JobProgressManager, job_id: str, batches: Iterable[list[str]]) -> int:
    """Records group after group; returns how many completions came back."""
    fired = 0
    for batch in batches:
        fired += manager.update_job_progress(job_id, STAGE, done=batch) is not None
    return fired


def measure_group_size(folder: Path, size: int, plan: Plan) -> dict[str, Any]:
    """Each measurement is a new job in a database that is warm; its last group fires its completion."""
    batches = groups(ordered_ids(), size, plan.assets[size])
    assets = size * len(batches)
    jobs = count()

    with opened(folder / f"group-{size}.db") as manager, closing(Bare(folder / f"bare-{size}.db")) as bare:

        def ours() -> float:
            job_id = f"job-{next(jobs):06d}"
            manager.update_expected_and_recheck_completion(job_id, STAGE, assets)
            fired = 0

            def run() -> None:
                nonlocal fired
                fired = record_all(manager, job_id, batches)

            seconds = stopwatch(run)
            assert fired == 1, f"{fired} completions instead of one"
            return seconds

        def theirs() -> float:
            job_id = f"job-{next(jobs):06d}"
            return stopwatch(lambda: bare.record_all(job_id, batches))

        pairs = alternated(ours, theirs, plan.pairs)
    return {
        "group_size": size,
        "assets": assets,
        "ledger": Spread.of([assets / seconds for seconds in pairs.first]).as_json(),
        "bare_sqlite3": Spread.of([assets / seconds for seconds in pairs.second]).as_json(),
        "ratio_to_bare": Spread.of([1 / ratio for ratio in _ratios(pairs)]).as_json(),
    }


def _ratios(pairs: Pairs) -> list[float]:
    return [first / second for first, second in zip(pairs.first, pairs.second, strict=True)]


def measure_growth(folder: Path, kind: str, make_ids: Callable[[], Iterator[str]], plan: Plan) -> dict[str, Any]:
    """Groups of 100 into a stage that holds `plan.large` assets, against the same into new stages that hold 10^3.

    Separate databases, both warm, so that the large one pays alone for its depth, cache misses and checkpoints.
    """
    assets = SMALL_STAGES * SMALL
    rounds = count()
    with opened(folder / f"{kind}-large.db") as large, opened(folder / f"{kind}-small.db") as small:
        ids = make_ids()
        fill = stopwatch(lambda: record_all(large, "large", _lazily(ids, FILL_GROUP, plan.large)))

        def at_large() -> float:
            batches = groups(ids, GOAL_SIZE, assets)
            return stopwatch(lambda: record_all(large, "large", batches))

        def at_small() -> float:
            number, small_ids = next(rounds), make_ids()
            jobs = [f"small-{number}-{stage}" for stage in range(SMALL_STAGES)]
            for job_id in jobs:
                record_all(small, job_id, groups(small_ids, SMALL, SMALL))
            batches = [groups(small_ids, GOAL_SIZE, SMALL) for _ in jobs]
            return stopwatch(
                lambda: [record_all(small, job_id, own) for job_id, own in zip(jobs, batches, strict=True)]
            )

        pairs = alternated(at_large, at_small, max(plan.pairs * 2 + 1, PAIRS_MIN))
        (status,) = large.stage_status("large")
    return {
        "ids": kind,
        "large_stage": plan.large,
        "assets_in_large_stage_at_the_end": status.done,
        "fill_seconds": round(fill, 1),
        "microseconds_per_asset_large": Spread.of([seconds / assets * 1e6 for seconds in pairs.first]).as_json(),
        "microseconds_per_asset_small": Spread.of([seconds / assets * 1e6 for seconds in pairs.second]).as_json(),
        "ratio": pairs.ratio.as_json(),
    }


def _lazily(ids: Iterator[str], size: int, assets: int) -> Iterator[list[str]]:
    for start in range(0, assets, size):
        yield list(islice(ids, min(size, assets - start)))


def measure_threads(folder: Path, size: int, plan: Plan) -> dict[str, Any]:
    with opened(folder / f"threads-{size}.db") as manager:

        def run(number: int) -> float:
            job_id, assets = f"job-{number}", plan.assets_per_caller[size]
            manager.update_expected_and_recheck_completion(job_id, STAGE, assets * CALLERS)
            batches = [groups(_ids_of_caller(caller), size, assets) for caller in range(CALLERS)]
            fired: list[int] = []
            threads = [
                threading.Thread(target=lambda own=own: fired.append(record_all(manager, job_id, own)))
                for own in batches
            ]
            started = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.perf_counter() - started
            assert sum(fired) == 1, f"{sum(fired)} completions instead of one"
            return assets * CALLERS / seconds

        rates = [run(number) for number in range(plan.pairs + 1)][1:]
    return {"callers": f"{CALLERS} threads", "group_size": size, "ledger": Spread.of(rates).as_json()}


def measure_processes(folder: Path, size: int, plan: Plan) -> dict[str, Any]:
    path = folder / f"processes-{size}.db"
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(CALLERS + 1)
    results = context.SimpleQueue()
    runs = plan.pairs + 1
    rates = []
    with opened(path) as manager:
        callers = [
            context.Process(
                target=_call_from_process,
                args=(str(path), caller, size, plan.assets_per_caller[size], runs, barrier, results),
            )
            for caller in range(CALLERS)
        ]
        for process in callers:
            process.start()
        for number in range(runs):
            total = plan.assets_per_caller[size] * CALLERS
            manager.update_expected_and_recheck_completion(f"job-{number}", STAGE, total)
            barrier.wait()
            started = time.perf_counter()
            barrier.wait()
            rates.append(total / (time.perf_counter() - started))
            fired = sum(results.get() for _ in callers)
            assert fired == 1, f"{fired} completions instead of one"
        for process in callers:
            process.join()
    return {"callers": f"{CALLERS} processes", "group_size": size, "ledger": Spread.of(rates[1:]).as_json()}


def _call_from_process(
    path: str, caller: int, size: int, assets: int, runs: int, barrier: Barrier, results: Any
) -> None:
    with opened(Path(path)) as manager:
        for number in range(runs):
            batches = groups(_ids_of_caller(caller), size, assets)
            barrier.wait()
            fired = record_all(manager, f"job-{number}", batches)
            barrier.wait()
            results.put(fired)


def _ids_of_caller(caller: int) -> Iterator[str]:
    return (f"frame-{number * CALLERS + caller:012d}" for number in count())


def print_tables(report: dict[str, Any], console: Console) -> None:
    console.print(where_in_words(report["where"]), highlight=False)
    rates = Table(title="Assets a second, one caller: median (lowest to highest)", title_justify="left")
    for heading in ("assets a group", "ledger", "bare sqlite3", "ledger / bare", "goal"):
        rates.add_column(heading, justify="right")
    for row in report["group_sizes"]:
        reached = row["ledger"]["median"] >= GOAL_ASSETS_PER_SECOND
        goal = f"{GOAL_ASSETS_PER_SECOND:,}: {_verdict(reached)}" if row["group_size"] == GOAL_SIZE else ""
        figures = [Spread(**row[name]) for name in ("ledger", "bare_sqlite3", "ratio_to_bare")]
        texts = [figure.text(form) for figure, form in zip(figures, (",.0f", ",.0f", ".2f"), strict=True)]
        rates.add_row(f"{row['group_size']:,}", *texts, goal)
    console.print(rates)

    growth = Table(title=f"Cost of an asset, in groups of {GOAL_SIZE}, by the size of its stage", title_justify="left")
    for heading in ("ids", "stage of", "us an asset", "at 1,000", "ratio", "goal"):
        growth.add_column(heading, justify="right")
    for row in report["growth"]:
        ratio = Spread(**row["ratio"])
        goal = f"{GOAL_RATIO}: {_verdict(ratio.median <= GOAL_RATIO)}" if row["ids"] == "ordered" else "reported"
        growth.add_row(
            row["ids"],
            f"{row['large_stage']:,}",
            Spread(**row["microseconds_per_asset_large"]).text(".1f"),
            Spread(**row["microseconds_per_asset_small"]).text(".1f"),
            ratio.text(".2f"),
            goal,
        )
    console.print(growth)

    together = Table(title="Assets a second, many callers on one stage", title_justify="left")
    for heading in ("callers", "assets a group", "ledger"):
        together.add_column(heading, justify="right")
    for row in report["concurrent"]:
        together.add_row(row["callers"], f"{row['group_size']:,}", Spread(**row["ledger"]).text(",.0f"))
    console.print(together)


def _verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--data", type=Path, default=CACHE / "benchmarks", help="folder on a real disk (default %(default)s)"
    )
    parser.add_argument("--pairs", type=int, help=f"alternated pairs, at least {PAIRS_MIN} for a figure to be quoted")
    parser.add_argument("--quick", action="store_true", help="a minute's look: fewer pairs, a stage of 100,000")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    if options.pairs:
        plan = Plan(options.pairs, plan.assets, plan.large, plan.assets_per_caller)
    say = Console(stderr=True)
    with scratch_folder(options.data) as folder:
        report: dict[str, Any] = {"where": where(folder), "pairs": plan.pairs, "quick": options.quick}
        say.print("assets a second, by group size ...")
        report["group_sizes"] = [measure_group_size(folder, size, plan) for size in GROUP_SIZES]
        say.print(f"cost at {plan.large:,} assets ...")
        kinds: dict[str, Callable[[], Iterator[str]]] = {"ordered": ordered_ids, "random": random_ids}
        report["growth"] = [measure_growth(folder, kind, make_ids, plan) for kind, make_ids in kinds.items()]
        say.print("many callers ...")
        report["concurrent"] = [
            measure(folder, size, plan)
            for size in plan.assets_per_caller
            for measure in (measure_threads, measure_processes)
        ]
        report["load_at_the_end"] = where(folder)["load"]
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print_tables(report, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
