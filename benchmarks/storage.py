"""What an asset and an event leave behind in the database: bytes of tables, of indexes and of the log.

    python benchmarks/storage.py [--assets N] [--json]

Sizes, not times: it may run beside other work. One stage of N assets, recorded in groups of 100 with and without a
small result and with one event each, on SQLite and on PostgreSQL; then what a vacuum leaves of it. `wal` counts what
was written to the log, which backups and replicas carry.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring import CACHE, scratch_folder
from rich.console import Console
from rich.table import Table

from reelwork.events import new_event_id
from reelwork.ledger import AssetOutcome, CompletionPolicy, Inbox, JobProgressManager, Work, open_ledger
from reelwork.ledger.sql import SqlLedger
from reelwork.message import Message
from tests.postgresql import PostgresqlServer, postgresql_server

STAGE = "video.embeddings"
GROUP = 100
ASSETS = 1_000_000
EVENTS_PER_ASSET = 10  # so many times fewer of them are measured
POLICY = CompletionPolicy(threshold_percentage=100, watermark_ttl_seconds=None)
RESULT = {"key": f"features/{'0' * 64}/efficientnet-lite0@1.npz", "score": 0.1234}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--assets", type=int, default=ASSETS)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    with scratch_folder(CACHE / "benchmarks") as folder, postgresql_server(durable=True) as server:
        report = {
            "sqlite": {
                name: on_sqlite(folder / f"{name}.db", write, options.assets) for name, write in WRITERS.items()
            },
            "postgresql": {name: on_postgresql(server, write, options.assets) for name, write in WRITERS.items()},
        }
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        Console().print(table_of(report))
    return 0


def bare_assets(ledger: SqlLedger, count: int) -> int:
    """As a handler without a result leaves them. How many rows."""
    job_id, manager = announced(ledger, count)
    for group in groups(count):
        manager.update_job_progress(job_id, STAGE, done=group)
    return count


def assets_with_result(ledger: SqlLedger, count: int) -> int:
    job_id, manager = announced(ledger, count)
    for group in groups(count):
        outcomes = [AssetOutcome(each, result=RESULT) for each in group]
        ledger.commit(Work(stages=[manager.outcomes(job_id, STAGE, outcomes)]))
    return count


def events(ledger: SqlLedger, count: int) -> int:
    """Outbox, published; and an inbox row, as its consumer leaves it."""
    job_id = str(uuid4())
    for group in groups(count // EVENTS_PER_ASSET):
        messages = [event(job_id, asset) for asset in group]
        ledger.commit(Work(events=messages))
        ledger.commit(Work(consumed=[Inbox("q.vision.of_the_benchmark", message.event_id) for message in messages]))
    return count // EVENTS_PER_ASSET


WRITERS: dict[str, Callable[[SqlLedger, int], int]] = {
    "asset": bare_assets,
    "asset with a result of 110 bytes": assets_with_result,
    "event, with its inbox row": events,
}


def event(job_id: str, asset: str) -> Message:
    event_id = str(new_event_id())
    body = {"job_id": job_id, "event_id": event_id, "asset_id": asset}
    return Message(event_id=event_id, job_id=job_id, topic="video.embedding.ready", body=json.dumps(body))


def announced(ledger: SqlLedger, count: int) -> tuple[str, JobProgressManager]:
    job_id, manager = str(uuid4()), JobProgressManager(ledger, policy=POLICY)
    manager.update_expected_and_recheck_completion(job_id, STAGE, count + 1)
    return job_id, manager


def groups(count: int) -> Iterator[list[str]]:
    for start in range(0, count, GROUP):
        yield [f"frame-{number:010d}" for number in range(start, start + GROUP)]


def on_sqlite(path: Path, write: Callable[[SqlLedger, int], int], count: int) -> dict[str, float]:
    ledger = open_ledger(f"sqlite:///{path}")
    before = os.path.getsize(path)
    rows = write(ledger, count)
    ledger.close()
    return {"bytes": (os.path.getsize(path) - before) / rows}


def on_postgresql(server: PostgresqlServer, write: Callable[[SqlLedger, int], int], count: int) -> dict[str, float]:
    url = server.new_database()
    name = url.rpartition("/")[2]
    server.execute("CHECKPOINT")
    before, log = size_of(server, name), log_of(server)
    ledger = open_ledger(url)
    rows = write(ledger, count)
    ledger.close()
    written = log_of(server) - log
    server.execute("VACUUM", name)
    return {"bytes": (size_of(server, name) - before) / rows, "wal": written / rows}


def size_of(server: PostgresqlServer, name: str) -> int:
    return int(server.execute("SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'", name)[0][0])


def log_of(server: PostgresqlServer) -> int:
    return int(server.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")[0][0])


def table_of(report: dict[str, Any]) -> Table:
    table = Table("bytes for each", "SQLite, file", "PostgreSQL, tables and indexes", "PostgreSQL, log")
    for name in WRITERS:
        sqlite, postgresql = report["sqlite"][name], report["postgresql"][name]
        table.add_row(name, *(f"{value:.0f}" for value in (sqlite["bytes"], postgresql["bytes"], postgresql["wal"])))
    return table


if __name__ == "__main__":
    raise SystemExit(main())
