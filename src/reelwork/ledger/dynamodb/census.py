"""What there is in a ledger on DynamoDB, in numbers, from its indexes: each look is bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from reelwork.ledger.census import ALIVE, ENDED, RECENT_MS, Census, OpenStages
from reelwork.ledger.dynamodb import keys
from reelwork.ledger.dynamodb.draft import whole_items
from reelwork.ledger.dynamodb.items import Item
from reelwork.ledger.dynamodb.outbox import counts_in
from reelwork.ledger.dynamodb.records import job_of, letter_of, status_of
from reelwork.ledger.dynamodb.store import Store

if TYPE_CHECKING:
    from reelwork.ledger.base import Ledger

JOBS_MAX: Final = 10_000
"""Of one kind; more are told as so many. Their keys alone are read, some 100 bytes each."""
EVENT_ITEMS_MAX: Final = 10_000
READ_MAX: Final = 1_000
"""Open stages, jobs that ended, and the newest dead letters, which are read whole."""


def take_census(ledger: Ledger, store: Store, now_ms: int) -> Census:
    """Raises StoreUnavailable."""
    unpublished, unconsumed, oldest = _events(store)
    first_due = ledger.due_stages(limit=1)
    return Census(
        jobs={status: _count(store, keys.jobs_alive(status)) for status in ALIVE},
        ended=_ended(store, now_ms),
        open_stages=_open_stages(store),
        due_since=first_due[0].watermark_at if first_due else None,
        unpublished=unpublished,
        unpublished_since=oldest,
        unconsumed=unconsumed,
        dead_letters=_dead_letters(store),
    )


def _count(store: Store, partition: str) -> int:
    return sum(1 for _ in islice(_keys_in(store, partition, index="agenda"), JOBS_MAX))


def _ended(store: Store, now_ms: int) -> dict[str, int]:
    """Of those that are not swept yet, which takes an hour."""
    ended = dict.fromkeys(ENDED, 0)
    for status in ENDED:
        recent = store.query(keys.jobs_unswept(status), index="agenda", newest_first=True)
        found = islice((item for page in recent for item in page), READ_MAX)
        ended[status] = sum(int(str(item["agenda_key"])) >= now_ms - RECENT_MS for item in found)
    return ended


def _open_stages(store: Store) -> dict[str, OpenStages]:
    found = islice(_keys_in(store, keys.OPEN_STAGES, index="listing"), READ_MAX)
    stages = [status_of(item) for item in whole_items(store, [[*found]])]
    names = Counter(stage.stage for stage in stages if stage.completed_at is None and stage.closed_at is None)
    return {
        name: OpenStages(count, min(stage.created_at for stage in stages if stage.stage == name))
        for name, count in names.items()
    }


def _events(store: Store) -> tuple[int, int, int | None]:
    """Unpublished; published and not finished; since when the oldest waits to be published."""
    waiting = [_first(store, f"{keys.UNPUBLISHED}#{shard}") for shard in range(keys.EVENT_SHARDS)]
    sent = [_first(store, f"{keys.UNFINISHED}#{shard}") for shard in range(keys.EVENT_SHARDS)]
    counts = [counts_in(str(item["agenda_key"])) for items in (*waiting, *sent) for item in items]
    oldest = whole_items(store, [[items[0] for items in waiting if items]])
    since = min((int(item["created_at"]) for item in oldest), default=None)
    return sum(count for count, _ in counts), sum(count for _, count in counts), since


def _first(store: Store, partition: str) -> list[Item]:
    return list(islice(_keys_in(store, partition, index="agenda"), EVENT_ITEMS_MAX))


def _dead_letters(store: Store) -> dict[str, int]:
    newest = (item for page in store.query(keys.LETTERS, index="listing", newest_first=True) for item in page)
    letters = map(letter_of, whole_items(store, [[*islice(newest, READ_MAX)]]))
    return dict(Counter(letter.queue for letter in letters if letter.replayed_at is None))


def ended_jobs(store: Store, *, born_before_ms: int) -> Iterator[Item]:
    """Jobs born before then that are over, the oldest first."""
    pages = store.query(keys.JOBS, index="listing", up_to=keys.number(max(born_before_ms, 0)) + "$")
    for page in pages:
        yield from (item for item in whole_items(store, [page]) if job_of(item).status.is_terminal)


def _keys_in(store: Store, partition: str, *, index: str) -> Iterator[Item]:
    return (item for page in store.query(partition, index=index) for item in page)
