"""Events between their recording and their consumption: the relay's side of the outbox on DynamoDB."""

from __future__ import annotations

import heapq
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final

from reelwork.ledger.base import PAGE_SIZE
from reelwork.ledger.dynamodb import keys
from reelwork.ledger.dynamodb.draft import change_item, put_back, whole_items
from reelwork.ledger.dynamodb.items import Item, Key
from reelwork.ledger.dynamodb.outbox import Fate, changed, fates_of, rows, sequence_of
from reelwork.ledger.dynamodb.records import LETTER_PREFIX, QUEUE_PREFIX, consumers_of
from reelwork.ledger.dynamodb.sequences import Sequences
from reelwork.ledger.dynamodb.store import Store, again_on_conflict
from reelwork.ledger.records import JobStatus, OutboxRow

WRITERS: Final = 8
"""Marks that are written at the same time."""
PLACES_MAX: Final = 20_000
"""Items that are remembered by whose they are, since they were read."""


class OutgoingEvents:
    """Thread-safe. What is to be done about them is found in an index, and then read from the table."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._places: OrderedDict[int, str] = OrderedDict()
        self._lock = threading.Lock()
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="reelwork-dynamodb")

    def close(self) -> None:
        self._writers.shutdown()

    def of_job(self, job_id: str) -> list[OutboxRow]:
        return [row for item in self.store.items(keys.outbox_partition(job_id)) for row in self._rows(item)]

    def unpublished(self, limit: int) -> list[OutboxRow]:
        found = self._on_their_way(keys.UNPUBLISHED, limit=limit)
        return list(islice((row for item in found for row in self._rows(item) if row.published_at is None), limit))

    def unfinished(self, *, published_before_ms: int, limit: int) -> list[OutboxRow]:
        found = self._on_their_way(keys.UNFINISHED, limit=limit, up_to=f"{keys.number(max(published_before_ms, 0))}$")
        due: list[tuple[int, OutboxRow]] = []
        for item in found:
            job = self.store.get(keys.job_key(str(item["job_id"])))
            if job is not None and job["status"] == JobStatus.CANCELLED:
                # nobody waits for what it had to say
                change_item(self.store, item, {"agenda": None, "agenda_key": None}, and_version=False)
                continue
            for row, fate in zip(self._rows(item), fates_of(item), strict=True):
                if fate.finished_at is None and fate.look_again_at is not None:
                    due += [(fate.look_again_at, row)] if fate.look_again_at <= published_before_ms else []
            if len(due) >= limit:
                break
        return [row for _, row in sorted(due, key=lambda each: (each[0], each[1].sequence))[:limit]]

    def consumers(self, event_ids: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        wanted = {event_id: keys.event_key(event_id) for event_id in event_ids}
        found = self.store.get_many(list(wanted.values()))
        return {event_id: consumers_of(found.get(key, {})) for event_id, key in wanted.items()}

    def are_awaited(self, job_id: str, bindings: Sequence[tuple[str, str]]) -> bool:
        for item in self.store.items(keys.outbox_partition(job_id)):
            if "agenda" not in item:
                continue
            waiting = [
                (row, queue)
                for row in self._rows(item)
                for topic, queue in bindings
                if row.finished_at is None and row.topic == topic and row.queue in (None, queue)
            ]
            found = self.store.get_many([keys.event_key(row.event_id) for row, _ in waiting])
            for row, queue in waiting:
                event = found.get(keys.event_key(row.event_id), {})
                buried_at = event.get(LETTER_PREFIX + queue)
                is_buried = buried_at is not None and (row.queue is None or int(buried_at) > row.created_at)
                if QUEUE_PREFIX + queue not in event and not is_buried:
                    return True
        return False

    def mark_published(self, sequences: Sequence[int], *, look_again_at: Mapping[int, int], now_ms: int) -> None:
        def publish(sequence: int, fate: Fate) -> Fate:
            return fate._replace(
                published_at=now_ms if fate.published_at is None else fate.published_at,
                look_again_at=look_again_at[sequence],
                publications=fate.publications + 1,
            )

        self._mark(sequences, publish)

    def mark_finished(self, sequences: Sequence[int], *, now_ms: int) -> None:
        self._mark(sequences, lambda _, fate: fate._replace(finished_at=now_ms))

    def _rows(self, item: Item) -> list[OutboxRow]:
        """They are marked by their sequences alone later on."""
        with self._lock:
            self._places[sequence_of(item)] = str(item["job_id"])
            self._places.move_to_end(sequence_of(item))
            while len(self._places) > PLACES_MAX:
                self._places.popitem(last=False)
        return rows(item)

    def _on_their_way(self, agenda: str, *, limit: int, up_to: str | None = None) -> Iterator[Item]:
        """Items of the outbox that are on this agenda, in its order, over all its shards."""
        shards = [
            self._agenda_items(f"{agenda}#{shard}", limit=limit, up_to=up_to) for shard in range(keys.EVENT_SHARDS)
        ]
        return heapq.merge(*shards, key=_agenda_key)

    def _agenda_items(self, partition: str, *, limit: int, up_to: str | None) -> Iterator[Item]:
        pages = self.store.query(partition, index="agenda", up_to=up_to, page_size=min(limit, PAGE_SIZE))
        return (item for item in whole_items(self.store, pages) if item.get("agenda") == partition)

    def _mark(self, sequences: Sequence[int], change: Callable[[int, Fate], Fate]) -> None:
        """Those whose job is not known here stay as they are, and are met again: nothing is lost by it."""
        told = set(sequences)
        with self._lock:
            firsts = dict.fromkeys(map(Sequences.item_of, sequences))
            items = [keys.outbox_key(self._places[first], first) for first in firsts if first in self._places]

        def change_told(sequence: int, fate: Fate) -> Fate:
            return change(sequence, fate) if sequence in told else fate

        def mark(key: Key) -> None:
            def attempt() -> None:
                item = self.store.get(key)
                if item is not None:
                    put_back(self.store, item, changed(item, change_told))

            again_on_conflict(attempt)

        list(self._writers.map(mark, items))


def _agenda_key(item: Item) -> str:
    return str(item["agenda_key"])
