"""What lies in DynamoDB, as rows of the tables that a ledger on SQL has: whoever looks at a run asks the same of both.

Each item is read from its table, consistently, after it was written; what follows from it is in its own rows only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from reelwork.ledger.dynamodb.items import Item, Key
from reelwork.ledger.dynamodb.keys import STAGE_PREFIX
from reelwork.ledger.dynamodb.outbox import rows
from reelwork.ledger.dynamodb.records import QUEUE_PREFIX, letter_of

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "jobs": ("job_id", "status", "failed_stage", "error_message", "phase"),
    "stages": (
        *("job_id", "stage", "expected", "done", "failed", "late", "done_weight"),
        *("created_at", "completed_at", "closed_at", "completion"),
    ),
    "assets": ("job_id", "stage", "asset_id", "state", "late", "weight", "error"),
    "outbox": ("event_id", "job_id", "topic", "queue", "body", "created_at", "published_at", "publications"),
    "inbox": ("event_id", "queue"),
    "dead_letters": ("dead_letter_id", "job_id", "queue", "stage", "event_id", "body", "created_at", "replayed_at"),
    "leases": ("name", "owner"),
}
TABLE_OF: Final[Mapping[str, str]] = {
    "assets": "assets",
    "outbox": "outbox",
    "event": "inbox",
    "letter": "dead_letters",
    "lease": "leases",
}
"""By the first part of a partition's key. Others hold nothing that is asked for."""
INDEXES: Final = ("outbox (job_id, topic)", "inbox (event_id, queue)", "assets (job_id, stage)")
Row = Mapping[str, Any]


class Mirror:
    """written: the keys of items that were written since the last look, emptied here. get_many: reads them."""

    def __init__(self, written: dict[Key, None], get_many: Callable[[Sequence[Key]], Mapping[Key, Item]]) -> None:
        self._written = written
        self._get_many = get_many
        self._rows = sqlite3.connect(":memory:", isolation_level=None)
        for table, columns in COLUMNS.items():
            self._rows.execute(f"CREATE TABLE {table} (pk, sk, {', '.join(columns)})")
            self._rows.execute(f"CREATE INDEX {table}_by_item ON {table} (pk, sk)")
        for number, index in enumerate(INDEXES):
            self._rows.execute(f"CREATE INDEX index_{number} ON {index}")

    def execute(self, query: str, parameters: Sequence[Any] = (), /) -> sqlite3.Cursor:
        if self._written:
            self._catch_up()
        return self._rows.execute(query, parameters)

    def empty(self) -> None:
        for table in COLUMNS:
            self._rows.execute(f"DELETE FROM {table}")

    def close(self) -> None:
        self._rows.close()

    def _catch_up(self) -> None:
        keys = [key for key in self._written if table_of(key) is not None]
        self._written.clear()
        found = self._get_many(keys)
        for key in keys:
            table = table_of(key)
            self._rows.execute(f"DELETE FROM {table} WHERE pk = ? AND sk = ?", key)
            for row in _rows_of(key, found[key]) if key in found else ():
                columns = COLUMNS[str(table)]
                places = ", ".join("?" * (len(columns) + 2))
                values = (*key, *(row.get(column) for column in columns))
                self._rows.execute(f"INSERT INTO {table} (pk, sk, {', '.join(columns)}) VALUES ({places})", values)


def table_of(key: Key) -> str | None:
    kind = key[0].partition("#")[0]
    if kind == "job":
        return "jobs" if key[1] == "job" else "stages" if key[1].startswith(STAGE_PREFIX) else None
    return TABLE_OF.get(kind)


def _rows_of(key: Key, item: Item) -> Iterator[Row]:
    _, *parts = key[0].split("#")
    match table_of(key):
        case "jobs" | "stages" | "leases":
            yield {"name": parts[0], **item}
        case "assets":
            job_id, stage, _ = parts
            yield {"weight": 1, "late": 0, **item, "job_id": job_id, "stage": stage, "asset_id": key[1]}
        case "inbox":
            names = [name for name in item if name.startswith(QUEUE_PREFIX)]
            yield from ({"event_id": parts[0], "queue": name.removeprefix(QUEUE_PREFIX)} for name in names)
        case "dead_letters":
            letter = letter_of(item)
            yield {column: getattr(letter, column) for column in COLUMNS["dead_letters"]}
        case "outbox":
            for event in rows(item):
                yield {column: getattr(event, column) for column in COLUMNS["outbox"]}
