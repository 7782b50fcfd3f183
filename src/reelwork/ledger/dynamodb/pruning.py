"""Removes the items of jobs that ended long ago; a job goes whole, its own item last.

Must never touch a job that is not over, or that anything may still come of. It may be stopped anywhere and run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from reelwork.ledger.dynamodb import keys
from reelwork.ledger.dynamodb.agenda import NOWHERE, is_open
from reelwork.ledger.dynamodb.census import ended_jobs
from reelwork.ledger.dynamodb.draft import Draft, key_of
from reelwork.ledger.dynamodb.items import Item
from reelwork.ledger.dynamodb.outbox import fates_of, rows
from reelwork.ledger.dynamodb.records import job_of, letter_of
from reelwork.ledger.dynamodb.segment_completions import SegmentCompletionStore
from reelwork.ledger.dynamodb.store import Store
from reelwork.ledger.records import JobStatus

ITEMS_AT_ONCE = 500


def prunable_jobs(store: Store, *, ended_before_ms: int) -> Iterator[str]:
    """The ids of jobs that ended before then (epoch ms) and of which all is said, the oldest first."""
    for item in ended_jobs(store, born_before_ms=ended_before_ms):
        job = job_of(item)
        if job.updated_at <= ended_before_ms and _all_is_said(store, item):
            yield job.job_id


def claim_job(store: Store, job_id: str, *, ended_before_ms: int) -> bool:
    """Makes sure that the job stays over for good. False when it was brought back meanwhile: leave it alone.

    From then on none of its dead letters can be replayed, and none of its stages completes.
    """
    draft, key = Draft(store), keys.job_key(job_id)
    item = draft.get(key)
    if item is None:
        return False
    job = job_of(item)
    if not job.status.is_terminal or job.updated_at > ended_before_ms or not _all_is_said(store, item):
        return False
    draft.change(key, is_forgotten=1, swept_at=item.get("swept_at", ended_before_ms), agenda=None, agenda_key=None)
    for stage in store.items(key[0], prefix=keys.STAGE_PREFIX):
        if is_open(stage):
            draft.change(draft.take(stage), closed_at=ended_before_ms, **NOWHERE)
    draft.write()
    _forget_letters(store, job_id)
    return True


def remove_rows(store: Store, completions: SegmentCompletionStore, job_id: str) -> int:
    """Of a job that was claimed. How many assets and events there were."""
    removed = sum(
        _remove_assets(store, item) for item in store.items(keys.job_key(job_id)[0], prefix=keys.STAGE_PREFIX)
    )
    for some in _portions(store.items(keys.outbox_partition(job_id))):
        events = [row for item in some for row in rows(item)]
        store.delete_many(list(dict.fromkeys(keys.event_key(row.event_id) for row in events)))
        store.delete_many(list(map(key_of, some)))
        removed += len(events)
    completions.forget(job_id)
    _forget_letters(store, job_id)
    own = list(store.items(keys.job_key(job_id)[0]))
    job = next((item for item in own if key_of(item) == keys.job_key(job_id)), None)
    store.delete_many([key for item in own if (key := key_of(item)) != keys.job_key(job_id)])
    if job is not None:
        if "idempotency_key" in job:
            store.delete_many([keys.submission_key(str(job["idempotency_key"]))])
        store.delete_many([keys.job_key(job_id)])
    return removed


def _all_is_said(store: Store, job: Item) -> bool:
    """Nobody has yet to hear of it; nobody waits for what a cancelled job had to say."""
    if job["status"] == JobStatus.CANCELLED:
        return True
    events = store.items(keys.outbox_partition(str(job["job_id"])))
    return all(fate.finished_at is not None for item in events for fate in fates_of(item))


def _remove_assets(store: Store, stage: Item) -> int:
    removed = 0
    for shard in range(keys.ASSET_SHARDS):
        partition = keys.asset_partition(str(stage["job_id"]), str(stage["stage"]), shard)
        for some in _portions(store.items(partition)):
            store.delete_many(list(map(key_of, some)))
            removed += len(some)
    return removed


def _forget_letters(store: Store, job_id: str) -> None:
    """By the index, which may lag; what it does not tell of yet cannot be replayed either, and goes with the rows."""
    pages = store.query(keys.letters_of(job_id), index="agenda")
    for page in pages:
        letters = [letter_of(item) for item in store.get_many(list(map(key_of, page))).values()]
        store.delete_many(
            list(
                dict.fromkeys(
                    key
                    for each in letters
                    for key in (
                        keys.message_key(each.job_id, each.queue, each.event_id, each.body),
                        keys.event_key(each.event_id),
                        keys.letter_key(each.dead_letter_id),
                    )
                )
            )
        )


def _portions(items: Iterator[Item]) -> Iterator[list[Item]]:
    while some := list(islice(items, ITEMS_AT_ONCE)):
        yield some
