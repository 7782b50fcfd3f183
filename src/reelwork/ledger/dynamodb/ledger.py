"""The ledger on DynamoDB: optimistic transactions, consistent reads by key, indexes for what is to be found.

An index may lag behind the table by a moment. So what is found there is read again from the table, and what only an
index can find (lists, sweeps, the relay) finds what is new a moment later; nothing is decided by an index alone.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from reelwork.database import Listener
from reelwork.errors import ConfigurationError, JobNotFound, StoreUnreachable, WriteConflict
from reelwork.ledger.base import PAGE_SIZE, Clock, Courier, Ledger
from reelwork.ledger.census import Census
from reelwork.ledger.commit import Transaction, apply_group
from reelwork.ledger.dynamodb import keys
from reelwork.ledger.dynamodb.address import Address
from reelwork.ledger.dynamodb.census import take_census
from reelwork.ledger.dynamodb.draft import Draft, change_item, put_back, whole_items
from reelwork.ledger.dynamodb.items import Item, encode
from reelwork.ledger.dynamodb.outgoing_events import OutgoingEvents
from reelwork.ledger.dynamodb.parts import parts_of, together
from reelwork.ledger.dynamodb.pruning import claim_job, prunable_jobs, remove_rows
from reelwork.ledger.dynamodb.records import (
    asset_of,
    conflict_of,
    job_of,
    known_of,
    letter_of,
    status_of,
)
from reelwork.ledger.dynamodb.segment_completions import SegmentCompletionStore
from reelwork.ledger.dynamodb.sequences import Sequences
from reelwork.ledger.dynamodb.store import Store, again_on_conflict
from reelwork.ledger.dynamodb.transaction import DynamoTransaction
from reelwork.ledger.records import (
    TERMINAL,
    AnnouncementConflict,
    AssetRecord,
    AssetState,
    Completion,
    DeadLetter,
    Job,
    JobStatus,
    Known,
    Lease,
    OutboxRow,
    QueueDepth,
    Recorded,
    StageStatus,
)
from reelwork.ledger.work import ASSET_ID_CHARACTERS_MAX, Work, is_text, texts_among

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

FAILED_JOB_LOOK_AGAIN_MS: Final = 60_000
"""Stages of failed jobs wait for their job to be brought back, which makes them due again."""

T = TypeVar("T")


class DynamoLedger(Ledger):
    def __init__(self, client: DynamoDBClient, address: Address, *, clock: Clock = time.time) -> None:
        super().__init__(clock=clock)
        self.name = f"{address.ledger_table} on DynamoDB"
        self.store = Store(client, address.ledger_table)
        self.segment_completions = SegmentCompletionStore(client, address.completions_table)
        self._completions_table = address.completions_table
        self._sequences = Sequences(self.store)
        self._events = OutgoingEvents(self.store)

    def transact(self, change: Callable[[Transaction], T]) -> T:
        def attempt() -> T:
            draft = Draft(self.store)
            result = change(DynamoTransaction(draft, self._sequences, completions_table=self._completions_table))
            draft.write()
            return result

        return again_on_conflict(attempt)

    def _commit_group(self, works: Sequence[Work]) -> Sequence[list[Completion] | Exception]:
        """In as many transactions as the works need."""
        results: list[list[Completion] | Exception] = []
        for some in together(works):
            if results and isinstance(results[-1], StoreUnreachable):
                results += [results[-1]] * len(some)
            elif len(some) == 1:
                results.append(self._commit_alone(some[0]))
            else:
                results += self._commit_together(some)
        return results

    def _commit_together(self, works: Sequence[Work]) -> Sequence[list[Completion] | Exception]:
        try:
            return self.transact(lambda transaction: apply_group(transaction, works, self.now_ms()))
        except (StoreUnreachable, WriteConflict) as error:
            return [error] * len(works)
        except Exception:
            return [self._commit_alone(work) for work in works]

    def _commit_alone(self, work: Work) -> list[Completion] | Exception:
        """Part by part where it is too large; a part that cannot be recorded is the last that is tried."""
        recorded = Recorded()
        try:
            for part in parts_of(work):
                (result,) = self.transact(lambda transaction: apply_group(transaction, [part], self.now_ms()))  # noqa: B023
                if isinstance(result, Exception):
                    return result
                recorded += result
                recorded.settled |= getattr(result, "settled", set())
        except Exception as error:
            return error
        return recorded

    def attach(self, courier: Courier) -> None:  # noqa: ARG002
        raise ConfigurationError(
            "DynamoDB holds no queues: set REELWORK_BROKER_URL to a broker of its own (sqs://, redis:// or amqp://)"
        )

    def job(self, job_id: str) -> Job:
        found = self.find_jobs([job_id])
        if not found:
            raise JobNotFound(f"no job has the id {job_id}")
        return found[job_id]

    def find_jobs(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        found = self.store.get_many([keys.job_key(job_id) for job_id in texts_among(job_ids)])
        return {job.job_id: job for job in map(job_of, found.values())}

    def jobs(
        self,
        *,
        statuses: Sequence[JobStatus] = (),
        pipeline: str | None = None,
        before: str | None = None,
        limit: int = PAGE_SIZE,
    ) -> list[Job]:
        last = None if before is None else self.job(before)
        after = None if last is None else keys.birth_order(last.created_at, last.job_id)
        pages = self.store.query(keys.JOBS, index="listing", after=after, newest_first=True, page_size=PAGE_SIZE)
        found = map(job_of, whole_items(self.store, pages))
        fitting = (
            job
            for job in found
            if (not statuses or job.status in statuses) and (pipeline is None or job.pipeline == pipeline)
        )
        return list(islice(fitting, limit))

    def job_with_key(self, idempotency_key: str) -> str | None:
        if not is_text(idempotency_key):
            return None
        item = self.store.get(keys.submission_key(idempotency_key))
        return None if item is None else str(item["job_id"])

    def running_jobs(self, *, after: str = "", limit: int = PAGE_SIZE) -> list[str]:
        partition = keys.jobs_alive(JobStatus.RUNNING)
        behind = keys.job_order(after) if after else None
        found = whole_items(self.store, self.store.query(partition, index="agenda", after=behind, page_size=limit))
        running = (str(item["job_id"]) for item in found if item["status"] == JobStatus.RUNNING)
        return list(islice(running, limit))

    def stage_status(self, job_id: str) -> list[StageStatus]:
        if not is_text(job_id):
            return []
        found = [status_of(item) for item in self._of_job(job_id, keys.STAGE_PREFIX)]
        return sorted(found, key=lambda stage: (stage.created_at, stage.stage))

    def known_assets(self, job_id: str, stage: str, asset_ids: Sequence[str]) -> Mapping[str, Known]:
        ids = [id_ for id_ in texts_among(asset_ids) if 1 <= len(id_) <= ASSET_ID_CHARACTERS_MAX]
        found = self.store.get_many([keys.asset_key(job_id, stage, asset_id) for asset_id in ids])
        return {asset_id: known_of(item) for (_, asset_id), item in found.items()}

    def assets(
        self,
        job_id: str,
        stage: str,
        *,
        states: Sequence[AssetState] = (),
        include_late: bool = True,
        prefix: str = "",
    ) -> Iterator[AssetRecord]:
        if not is_text(job_id) or not is_text(stage):
            return
        shards = int((self.store.get(keys.stage_key(job_id, stage)) or {}).get("shards", 0))
        partitions = [
            self.store.items(keys.asset_partition(job_id, stage, shard), prefix=prefix)
            for shard in range(keys.ASSET_SHARDS)
            if shards >> shard & 1
        ]
        for item in heapq.merge(*partitions, key=_range_key):
            asset = asset_of(item)
            if (not states or asset.state in states) and (include_late or not asset.late):
                yield asset

    def conflicts(self, job_id: str) -> list[AnnouncementConflict]:
        if not is_text(job_id):
            return []
        return [conflict_of(item) for item in islice(self._of_job(job_id, keys.CONFLICT_PREFIX), PAGE_SIZE)]

    def dead_letters(
        self,
        job_id: str | None = None,
        *,
        stage: str | None = None,
        queue: str | None = None,
        error: str | None = None,
        replayed: bool | None = None,
        before: int | None = None,
        limit: int = PAGE_SIZE,
    ) -> list[DeadLetter]:
        if job_id is not None and not is_text(job_id):
            return []
        index, partition = ("listing", keys.LETTERS) if job_id is None else ("agenda", keys.letters_of(job_id))
        after = None if before is None else keys.number(max(before, 0))
        pages = self.store.query(partition, index=index, after=after, newest_first=True, page_size=PAGE_SIZE)
        fitting = (
            letter
            for letter in map(letter_of, whole_items(self.store, pages))
            if (stage is None or letter.stage == stage)
            and (queue is None or letter.queue == queue)
            and (error is None or _lowered(error) in _lowered(letter.error))
            and (replayed is None or replayed is (letter.replayed_at is not None))
        )
        return list(islice(fitting, limit))

    def dead_letter(self, dead_letter_id: int) -> DeadLetter | None:
        item = None if dead_letter_id < 0 else self.store.get(keys.letter_key(dead_letter_id))
        return None if item is None else letter_of(item)

    def outbox(self, job_id: str) -> list[OutboxRow]:
        return self._events.of_job(job_id) if is_text(job_id) else []

    def unpublished(self, limit: int = PAGE_SIZE) -> list[OutboxRow]:
        return self._events.unpublished(limit)

    def unfinished(self, *, published_before_ms: int, limit: int = PAGE_SIZE) -> list[OutboxRow]:
        return self._events.unfinished(published_before_ms=published_before_ms, limit=limit)

    def consumers(self, event_ids: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        return self._events.consumers(event_ids)

    def awaits(self, job_id: str, bindings: Sequence[tuple[str, str]]) -> bool:
        return self._events.are_awaited(job_id, bindings)

    def mark_published(self, sequences: Sequence[int], *, look_again_at: Mapping[int, int]) -> None:
        self._events.mark_published(sequences, look_again_at=look_again_at, now_ms=self.now_ms())

    def mark_finished(self, sequences: Sequence[int]) -> None:
        self._events.mark_finished(sequences, now_ms=self.now_ms())

    def lease(self, name: str) -> Lease:
        item = self.store.get(keys.lease_key(name))
        return Lease() if item is None else Lease(str(item["owner"]), int(item["beats"]))

    def take_lease(self, name: str, *, owner: str, was: Lease) -> bool:
        condition = "#o = :o AND #b = :b" if was.beats else "attribute_not_exists(#b) OR (#o = :o AND #b = :b)"
        return self.store.update(
            keys.lease_key(name),
            update="SET #o = :n, #b = :m",
            condition=condition,
            names={"#o": "owner", "#b": "beats"},
            values=encode({":o": was.owner, ":b": was.beats, ":n": owner, ":m": was.beats + 1}),
        )

    def listen(self) -> Listener | None:
        return None

    def due_stages(self, *, limit: int = PAGE_SIZE) -> list[StageStatus]:
        """What the index has too early is put there where it belongs."""
        now_ms = self.now_ms()
        pages = self.store.query(
            keys.DUE_STAGES, index="agenda", up_to=keys.number(max(now_ms, 0)), page_size=min(limit, PAGE_SIZE)
        )
        due: list[StageStatus] = []
        for item in whole_items(self.store, pages):
            stage = status_of(item)
            if stage.watermark_at is None or stage.completed_at is not None or stage.closed_at is not None:
                continue
            if stage.watermark_at > now_ms:
                self._look_later(item, stage.watermark_at)
            elif self._has_failed(stage.job_id):
                self._look_later(item, now_ms + FAILED_JOB_LOOK_AGAIN_MS)
            else:
                due.append(stage)
            if len(due) >= limit:
                break
        return sorted(due, key=lambda stage: stage.watermark_at or 0)

    def open_stages(self, *, after: tuple[str, str] | None = None, limit: int = PAGE_SIZE) -> list[StageStatus]:
        behind = None if after is None else keys.stage_order(*after)
        found = whole_items(
            self.store, self.store.query(keys.OPEN_STAGES, index="listing", after=behind, page_size=limit)
        )
        stages = map(status_of, found)
        return list(islice((s for s in stages if s.completed_at is None and s.closed_at is None), limit))

    def last_recorded_at(self, job_id: str, stage: str) -> int | None:
        item = self.store.get(keys.stage_key(job_id, stage))
        return None if item is None or "last_recorded_at" not in item else int(item["last_recorded_at"])

    def queue_depths(self, job_id: str) -> list[QueueDepth]:  # noqa: ARG002
        return []

    def census(self) -> Census:
        return take_census(self, self.store, self.now_ms())

    def unswept_jobs(self, *, ended_before_ms: int, limit: int = PAGE_SIZE) -> list[Job]:
        up_to = keys.number(max(ended_before_ms, 0))
        found: list[Job] = []
        for status in sorted(TERMINAL):
            pages = self.store.query(keys.jobs_unswept(status), index="agenda", up_to=up_to, page_size=limit)
            jobs = (job_of(item) for item in whole_items(self.store, pages) if "swept_at" not in item)
            found += islice((job for job in jobs if job.status is status), limit - len(found))
        return found

    def mark_swept(self, job_id: str) -> None:
        """One that has been brought back meanwhile stays unswept: it ends again."""

        def sweep() -> None:
            item = self.store.get(keys.job_key(job_id))
            if item is None or JobStatus(str(item["status"])) not in TERMINAL:
                return
            put_back(self.store, item, {"swept_at": self.now_ms(), "agenda": None, "agenda_key": None})

        again_on_conflict(sweep)

    def prunable_jobs(self, *, ended_before_ms: int) -> Iterator[str]:
        return prunable_jobs(self.store, ended_before_ms=ended_before_ms)

    def claim_job(self, job_id: str, *, ended_before_ms: int) -> bool:
        return again_on_conflict(lambda: claim_job(self.store, job_id, ended_before_ms=ended_before_ms))

    def remove_rows(self, job_id: str) -> int:
        return remove_rows(self.store, self.segment_completions, job_id)

    def ping(self) -> None:
        self.store.get(keys.NODES)

    def close(self) -> None:
        self._events.close()
        self.store.client.close()

    def _of_job(self, job_id: str, prefix: str) -> Iterator[Item]:
        return self.store.items(keys.job_key(job_id)[0], prefix=prefix)

    def _look_later(self, item: Item, at_ms: int) -> None:
        """Who writes the stage at the same time knows better."""
        change_item(self.store, item, {"agenda_key": keys.number(max(at_ms, 0))}, and_version=False)

    def _has_failed(self, job_id: str) -> bool:
        item = self.store.get(keys.job_key(job_id))
        return item is not None and item["status"] == JobStatus.FAILED


def _range_key(item: Item) -> str:
    return str(item["sk"])


def _lowered(text: str) -> str:
    """ASCII letters alone, as the databases compare them."""
    return "".join(sign.lower() if sign.isascii() else sign for sign in text)
