"""What an asset costs on DynamoDB: request units, by the rules of its price list, of the requests that are really sent.

    python benchmarks/dynamodb.py [--sizes 1000 100000] [--json]

The requests go to the emulator of the tests, which says nothing true of units, so they are counted here: by item, what
is written in steps of 1 kB (twice in a transaction), what is read in steps of 4 kB, and each change of an index.
Counts, not times: it may run beside other work. A stage of each size is filled first; then each way of recording is
counted in it.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.table import Table

from reelwork.events import new_event_id
from reelwork.ledger import AssetOutcome, CompletionPolicy, Inbox, JobProgressManager, NewJob, Work, open_ledger
from reelwork.ledger.dynamodb.items import decode, size_of
from reelwork.ledger.dynamodb.ledger import DynamoLedger
from reelwork.ledger.dynamodb.tables import INDEXES
from reelwork.message import Message
from tests.dynamodb import fresh_tables

SIZES = (1_000, 100_000)
TURNS = 20
GROUP = 50
POLICY = CompletionPolicy(threshold_percentage=100, watermark_ttl_seconds=900)
WRITE_BYTES, READ_BYTES = 1_024, 4_096
DOLLARS_PER_MILLION_WRITES, DOLLARS_PER_MILLION_READS = 0.625, 0.125  # on demand, us-east-1, list price
RESULT = {"key": f"features/{'0' * 64}/efficientnet-lite0@1.npz", "score": 0.1234}


class Meter:
    """Counts the units of a ledger's requests. It remembers what was written, to know what changes in an index."""

    def __init__(self, ledger: DynamoLedger) -> None:
        self.writes = self.reads = 0.0
        self._items: dict[tuple[str, str], dict[str, Any]] = {}
        self._table = ledger.store.table
        self._asked = threading.local()  # events are marked in several threads
        events = ledger.store.client.meta.events
        events.register("provide-client-params.dynamodb.*", self._on_request)
        events.register("after-call.dynamodb.*", self._on_answer)

    def spent(self) -> tuple[float, float]:
        """Write and read units since it was asked last."""
        spent = self.writes, self.reads
        self.writes = self.reads = 0.0
        return spent

    def _on_request(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self._asked.params = params
        for action in params.get("TransactItems", []):
            ((kind, what),) = action.items()
            if kind == "Put":
                item = decode(what["Item"])
                self.writes += 2 * _units(size_of(item), WRITE_BYTES) + self._index_writes(what["TableName"], item)
            else:
                self.writes += 2
        if model.name == "UpdateItem":
            key = params["Key"]["pk"]["S"], params["Key"]["sk"]["S"]
            before = self._items.get(key, {})
            moves = "agenda" in params.get("ExpressionAttributeNames", {}).values()
            self.writes += _units(size_of(before), WRITE_BYTES) + (2 if moves else 0)

    def _on_answer(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if model.name == "BatchGetItem":
            wanted = len(self._asked.params["RequestItems"][self._table]["Keys"])
            found = [decode(raw) for raw in parsed["Responses"][self._table]]
            self.reads += wanted - len(found) + sum(_units(size_of(item), READ_BYTES) for item in found)
        if model.name == "Query":
            size = sum(size_of(decode(raw)) for raw in parsed["Items"])
            self.reads += _units(size, READ_BYTES) * (1 if self._asked.params.get("ConsistentRead") else 0.5)

    def _index_writes(self, table: str, item: dict[str, Any]) -> int:
        if table != self._table:
            return 0
        key = item["pk"], item["sk"]
        before, self._items[key] = self._items.get(key, {}), item
        writes = 0
        for names in INDEXES.values():
            was, now = ([each.get(name) for name in names] for each in (before, item))
            writes += 0 if was == now else (was[0] is not None) + (now[0] is not None)
        return writes


def _units(size: int, step: int) -> int:
    return max(-(-size // step), 1)


class Stage:
    """One of a size, filled but for what is measured."""

    def __init__(self, ledger: DynamoLedger, size: int) -> None:
        self.ledger = ledger
        self.job_id = str(uuid4())
        self.stages = JobProgressManager(ledger, policy=POLICY)
        self._next = 0
        ledger.commit(Work(new_job=NewJob(job_id=self.job_id, pipeline="bench", input_path="input")))
        self.stages.update_expected_and_recheck_completion(self.job_id, "video.embeddings", 10**9)
        self.stages.update_job_progress(self.job_id, "video.embeddings", done=(f"a{n:08}" for n in range(size)))

    def outcome(self, **fields: Any) -> AssetOutcome:
        self._next += 1
        return AssetOutcome(f"b{self._next:08}", **fields)

    def work(self, outcomes: list[AssetOutcome], *, stage: str = "video.embeddings", messages: int) -> Work:
        consumed = [Inbox("q.vision_embedding.keyframes", str(new_event_id())) for _ in range(messages)]
        return Work(stages=[self.stages.outcomes(self.job_id, stage, outcomes)], consumed=consumed)

    def event(self) -> Message:
        body = {"job_id": self.job_id, "event_id": str(new_event_id()), "asset_id": str(uuid4())}
        return Message(body["event_id"], self.job_id, "video.embedding.ready", json.dumps(body))

    def segment(self) -> AssetOutcome:
        self._next += 1
        record = {
            "job_id": self.job_id,
            "segment_index": self._next,
            "output_s3_uri": f"s3://outputs/jobs/{self.job_id}/segments/{self._next}.mp4",
            "completed_at": "2026-11-21T12:00:00Z",
            "total_segments": 10**5,
        }
        return AssetOutcome(f"{self._next:05}", result={**record, "frames": 300, "bytes": 10**6})


def one_asset(stage: Stage) -> int:
    stage.ledger.commit(stage.work([stage.outcome()], messages=0))
    return 1


def one_asset_and_message(stage: Stage) -> int:
    stage.ledger.commit(stage.work([stage.outcome(result=RESULT)], messages=1))
    return 1


def group(stage: Stage) -> int:
    stage.ledger.commit(stage.work([stage.outcome(result=RESULT) for _ in range(GROUP)], messages=0))
    return GROUP


def group_of_one_message(stage: Stage) -> int:
    stage.ledger.commit(stage.work([stage.outcome(result=RESULT) for _ in range(GROUP)], messages=1))
    return GROUP


def group_of_messages(stage: Stage) -> int:
    stage.ledger.commit(stage.work([stage.outcome(result=RESULT) for _ in range(GROUP)], messages=GROUP))
    return GROUP


def group_with_events(stage: Stage) -> int:
    outcomes = [stage.outcome(result=RESULT, events=[stage.event()]) for _ in range(GROUP)]
    stage.ledger.commit(stage.work(outcomes, messages=1))
    return GROUP


def group_with_events_and_relay(stage: Stage) -> int:
    """As above, published, and found to be consumed."""
    count, ledger = group_with_events(stage), stage.ledger
    rows = ledger.unpublished(500)
    ledger.mark_published([row.sequence for row in rows], look_again_at={row.sequence: 1 for row in rows})
    rows = ledger.unfinished(published_before_ms=1, limit=500)
    ledger.consumers([row.event_id for row in rows])
    ledger.mark_finished([row.sequence for row in rows])
    return count


def one_segment(stage: Stage) -> int:
    stage.ledger.commit(stage.work([stage.segment()], stage="segments", messages=1))
    return 1


WAYS: Mapping[str, Callable[[Stage], int]] = {
    "one asset a work": one_asset,
    "one asset with a result and a message of its own": one_asset_and_message,
    f"{GROUP} assets in a group": group,
    f"{GROUP} assets of one message": group_of_one_message,
    f"{GROUP} assets, {GROUP} messages": group_of_messages,
    f"{GROUP} assets of one message, with an event each": group_with_events,
    "... with what the relay does": group_with_events_and_relay,
    "one segment with its record and its message": one_segment,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="assets that the stage has already")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    report = {size: measured(size) for size in options.sizes}
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        Console().print(table_of(report))
    return 0


def measured(size: int) -> dict[str, dict[str, float]]:
    found = {}
    with fresh_tables() as url, closing(open_ledger(url)) as ledger:
        assert isinstance(ledger, DynamoLedger)
        meter, stage = Meter(ledger), Stage(ledger, size)
        for name, record in WAYS.items():
            record(stage)  # what comes once, as the birth of a stage
            meter.spent()
            assets = sum(record(stage) for _ in range(TURNS))
            writes, reads = meter.spent()
            found[name] = {"writes": writes / assets, "reads": reads / assets}
    return found


def table_of(report: Mapping[int, Mapping[str, Mapping[str, float]]]) -> Table:
    table = Table("an asset, by the size of its stage")
    for size in report:
        table.add_column(f"write units, {size:,}", justify="right")
        table.add_column(f"read units, {size:,}", justify="right")
    table.add_column("$ a million", justify="right")
    for name in WAYS:
        units = [figures[name] for figures in report.values()]
        dollars = units[-1]["writes"] * DOLLARS_PER_MILLION_WRITES + units[-1]["reads"] * DOLLARS_PER_MILLION_READS
        cells = [f"{each[kind]:.2f}" for each in units for kind in ("writes", "reads")]
        table.add_row(name, *cells, f"{dollars:.2f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
