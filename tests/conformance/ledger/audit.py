"""Looks at every row of a store at once, for what must never be there."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import text

from reelwork.ledger import Ledger
from reelwork.ledger.dynamodb import keys
from reelwork.ledger.dynamodb.outbox import rows as events_in
from reelwork.ledger.sql import SqlLedger
from tests.dynamodb import items

MISCOUNTED = (
    "SELECT s.job_id, s.stage, s.done, s.failed, s.late, s.done_weight, count(a.asset_id) FROM stages s "
    "LEFT JOIN assets a ON a.job_id = s.job_id AND a.stage = s.stage "
    "GROUP BY s.job_id, s.stage, s.done, s.failed, s.late, s.done_weight "
    "HAVING s.done <> count(CASE WHEN a.state = 'done' THEN 1 END) "
    "OR s.failed <> count(CASE WHEN a.state = 'failed' THEN 1 END) "
    "OR s.late <> count(CASE WHEN a.late THEN 1 END) "
    "OR s.done_weight <> coalesce(sum(CASE WHEN a.state = 'done' THEN a.weight END), 0)"
)
UNTOLD = (
    "SELECT s.job_id, s.stage FROM stages s WHERE s.completed_at IS NOT NULL AND 1 <> "
    "(SELECT count(*) FROM outbox o WHERE o.job_id = s.job_id AND o.topic LIKE s.stage || '%completed')"
)
OPEN_IN_CANCELLED = (
    "SELECT s.job_id, s.stage FROM stages s JOIN jobs j ON j.job_id = s.job_id "
    "WHERE j.status = 'cancelled' AND s.completed_at IS NULL AND s.closed_at IS NULL"
)


def miscounted(ledger: Ledger) -> list[object]:
    """Stages whose counters are not what their assets say."""
    if isinstance(ledger, SqlLedger):
        return _rows(ledger, MISCOUNTED)
    table = items(ledger)
    counts: Counter[tuple[str, str]] = Counter()
    for item in table:
        if item["pk"].startswith("assets#"):
            owner = item["pk"].rpartition("#")[0]
            counts[owner, item["state"]] += 1
            counts[owner, "late"] += item.get("late", 0)
            counts[owner, "weight"] += item.get("weight", 1) if item["state"] == "done" else 0
    wrong: list[object] = []
    for item in _stages(table):
        owner = keys.asset_partition(item["job_id"], item["stage"], 0).rpartition("#")[0]
        told = [item["done"], item["failed"], item["late"], item["done_weight"]]
        if told != [counts[owner, what] for what in ("done", "failed", "late", "weight")]:
            wrong.append((item["job_id"], item["stage"], told))
    return wrong


def untold(ledger: Ledger) -> list[object]:
    """Stages that have completed without exactly one event that says so."""
    if isinstance(ledger, SqlLedger):
        return _rows(ledger, UNTOLD)
    table = items(ledger)
    told = Counter(
        (row.job_id, row.topic) for item in table if item["pk"].startswith("outbox#") for row in events_in(item)
    )
    completed = [item for item in _stages(table) if "completed_at" in item]
    return [item["sk"] for item in completed if told[item["job_id"], f"{item['stage']}.completed"] != 1]


def open_in_cancelled(ledger: Ledger) -> list[object]:
    """Stages of cancelled jobs that could still complete."""
    if isinstance(ledger, SqlLedger):
        return _rows(ledger, OPEN_IN_CANCELLED)
    table = items(ledger)
    cancelled = {item["pk"] for item in table if item["sk"] == "job" and item.get("status") == "cancelled"}
    stages = [item for item in _stages(table) if item["pk"] in cancelled]
    return [item for item in stages if "completed_at" not in item and "closed_at" not in item]


def row_counts(ledger: Ledger) -> dict[str, int]:
    """Of every table, or of every kind of item; not of what belongs to no job."""
    if isinstance(ledger, SqlLedger):
        return {name: _rows(ledger, f"SELECT count(*) FROM {name}")[0][0] for name in SQL_TABLES}  # type: ignore[index]
    kinds = Counter((item["pk"].partition("#")[0], item["sk"].partition("#")[0]) for item in items(ledger))
    return {name: kinds[kind] for name, kind in KINDS.items()} | {
        "assets": sum(count for (first, _), count in kinds.items() if first == "assets"),
        "outbox": sum(count for (first, _), count in kinds.items() if first == "outbox"),
        "batches": sum(count for (first, _), count in kinds.items() if first == "batch"),
    }


SQL_TABLES = ["announcement_conflicts", "assets", "dead_letters", "inbox", "jobs", "messages", "outbox", "stages"]
KINDS = {
    "jobs": ("job", "job"),
    "stages": ("job", "stage"),
    "announcement_conflicts": ("job", "conflict"),
    "inbox": ("event", "event"),
    "dead_letters": ("letter", "letter"),
    "standing letters": ("message", "letter"),
}


def _stages(table: list[dict[str, object]]) -> list[dict[str, object]]:
    return [item for item in table if str(item["pk"]).startswith("job#") and str(item["sk"]).startswith("stage#")]


def _rows(ledger: SqlLedger, query: str) -> list[object]:
    with ledger.database.reading() as connection:
        return [tuple(row) for row in connection.execute(text(query))]
