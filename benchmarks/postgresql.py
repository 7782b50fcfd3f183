"""How many assets a second four processes record on one stage on PostgreSQL, beside what no ledger can beat.

    python benchmarks/postgresql.py [--pairs N] [--quick] [--json]

The floor: the same asset rows, inserted in the same groups by the same number of processes over the same kind of
connection, with no counter, rule or event. The server is the one of the tests, with fsync on for both.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from decimal import Decimal
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring import CACHE, PAIRS_MIN, Spread, alternated, scratch_folder, where, where_in_words
from rich.console import Console
from rich.table import Table

from reelwork.database import Database, open_database
from reelwork.ledger import CompletionPolicy, JobProgressManager, open_ledger
from tests.postgresql import PostgresqlServer, postgresql_server

STAGE = "benchmark.assets"
GROUP_SIZES = (50, 100, 500)
PROCESSES = 4
GOAL = 0.6
ASSETS_PER_PROCESS = {50: 10_000, 100: 15_000, 500: 25_000}
QUICK_PAIRS = 3
POLICY = CompletionPolicy(threshold_percentage=Decimal(100), watermark_ttl_seconds=900)
FLOOR = """
INSERT INTO floor_assets (job_id, stage, asset_id, state, weight, late, attempts, recorded_at)
SELECT $1, $2, id, 'done', 1, false, 0, $4::bigint FROM unnest($3::text[]) AS id
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, help=f"alternated pairs, at least {PAIRS_MIN} for a figure to be quoted")
    parser.add_argument("--quick", action="store_true", help="fewer pairs and assets")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    pairs = options.pairs or (QUICK_PAIRS if options.quick else PAIRS_MIN)
    with scratch_folder(CACHE / "benchmarks") as folder, postgresql_server(durable=True) as server:
        report: dict[str, Any] = {"where": where(folder), "pairs": pairs, "processes": PROCESSES}
        (version,) = server.execute("SHOW server_version")[0]
        report["postgresql"] = version
        report["sizes"] = [measure(server, size, pairs, quick=options.quick) for size in GROUP_SIZES]
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print_table(report, Console())
    return 0


def measure(server: PostgresqlServer, size: int, pairs: int, *, quick: bool) -> dict[str, Any]:
    assets = ASSETS_PER_PROCESS[size] // (5 if quick else 1) // size * size
    url = server.new_database()
    server.execute("CREATE TABLE floor_assets (LIKE assets INCLUDING ALL)", url.rpartition("/")[2])
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(PROCESSES)]
    processes = [
        context.Process(target=_caller, args=(url, number, size, assets, pipe[1])) for number, pipe in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    callers = [pipe[0] for pipe in pipes]
    jobs = count()
    ledger = open_ledger(url)
    manager = JobProgressManager(ledger, policy=POLICY)

    def run(kind: str) -> float:
        job_id = f"job-{next(jobs)}"
        if kind == "ours":
            manager.update_expected_and_recheck_completion(job_id, STAGE, assets * PROCESSES)
        for caller in callers:
            caller.send((kind, job_id))
        for caller in callers:
            caller.recv()
        started = time.perf_counter()
        for caller in callers:
            caller.send("go")
        fired = sum(caller.recv() for caller in callers)
        seconds = time.perf_counter() - started
        assert fired == (kind == "ours"), f"{fired} completions"
        return seconds

    measured = alternated(lambda: run("ours"), lambda: run("floor"), pairs)
    for caller in callers:
        caller.send(None)
    for process in processes:
        process.join()
    ledger.close()
    total = assets * PROCESSES
    ratios = [floor / ours for ours, floor in zip(measured.first, measured.second, strict=True)]
    return {
        "group_size": size,
        "assets": total,
        "ledger": Spread.of([total / seconds for seconds in measured.first]).as_json(),
        "floor": Spread.of([total / seconds for seconds in measured.second]).as_json(),
        "ratio_to_floor": Spread.of(ratios).as_json(),
    }


def _caller(url: str, number: int, size: int, assets: int, pipe: Connection) -> None:
    """One process: waits to be told what to record, makes its groups, waits for the word, records."""
    ledger = open_ledger(url)
    manager = JobProgressManager(ledger, policy=POLICY)
    database = open_database(url)
    while (order := pipe.recv()) is not None:
        kind, job_id = order
        ids = [f"frame-{place * PROCESSES + number:012d}" for place in range(assets)]
        groups = [ids[first : first + size] for first in range(0, assets, size)]
        pipe.send("ready")
        pipe.recv()
        if kind == "ours":
            pipe.send(sum(manager.update_job_progress(job_id, STAGE, done=group) is not None for group in groups))
        else:
            _insert(database, job_id, groups)
            pipe.send(0)
    database.close()
    ledger.close()


def _insert(database: Database, job_id: str, groups: list[list[str]]) -> None:
    for group in groups:
        database.run(FLOOR, (job_id, STAGE, database.array(group), round(time.time() * 1000)))


def print_table(report: dict[str, Any], console: Console) -> None:
    console.print(where_in_words(report["where"]), highlight=False)
    title = f"Assets a second, {PROCESSES} processes on one stage, PostgreSQL {report['postgresql']}: median (range)"
    table = Table(title=title, title_justify="left")
    for heading in ("assets a group", "ledger", "bare inserts", "ledger / bare", "goal"):
        table.add_column(heading, justify="right")
    for row in report["sizes"]:
        figures = [Spread(**row[name]) for name in ("ledger", "floor", "ratio_to_floor")]
        texts = [figure.text(form) for figure, form in zip(figures, (",.0f", ",.0f", ".2f"), strict=True)]
        verdict = "reached" if row["ratio_to_floor"]["median"] >= GOAL else "MISSED"
        table.add_row(str(row["group_size"]), *texts, f"{GOAL}: {verdict}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
