"""What a group of works reads and writes in one transaction of DynamoDB: the primitives of
`reelwork.ledger.commit.Transaction` on a `Draft`. It decides nothing.

Everything it writes is guarded by its version. Besides, a stage that is born guards its job, which so cannot be
cancelled past it; and a message that is given up guards that nobody has consumed it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from reelwork.errors import StoreUnavailable
from reelwork.ledger.commit import Loaded, Needs, StageKey
from reelwork.ledger.dynamodb import keys
from reelwork.ledger.dynamodb.agenda import NOWHERE, is_open, job_agenda, stage_places
from reelwork.ledger.dynamodb.draft import Draft
from reelwork.ledger.dynamodb.items import Item, Key, Value, pack
from reelwork.ledger.dynamodb.outbox import PACKED_BYTES_MAX, chunks, packed
from reelwork.ledger.dynamodb.parts import LOOSE_EVENTS_MAX
from reelwork.ledger.dynamodb.records import LETTER_PREFIX, QUEUE_PREFIX, job_state, known_of, letter_of, stage_of
from reelwork.ledger.dynamodb.segment_completions import SEGMENTS_TTL_SECONDS, segment_completion_of
from reelwork.ledger.dynamodb.sequences import Sequences
from reelwork.ledger.dynamodb.tables import COMPLETIONS_KEY, TTL_ATTRIBUTE
from reelwork.ledger.job import JobState
from reelwork.ledger.records import AnnouncementConflict, AssetState, Completion, DeadLetter, JobStatus
from reelwork.ledger.stage import AssetRow, Stage
from reelwork.ledger.work import Inbox, NewDeadLetter, NewJob, encode_result, error_text
from reelwork.message import Message

EVENT_TTL_SECONDS: Final = 30 * 86_400
"""How long it is remembered who has consumed an event; no broker delivers one so late."""
LETTER_CHARACTERS_MAX: Final = 64_000
"""Kept of the body of a dead letter that is too large for an item."""
RECORDED: Final = "recorded_at"
"""Attribute of an event's item: it is in the outbox, or was."""


class DynamoTransaction:
    """One attempt. completions_table: gets a record of every segment that is done."""

    def __init__(self, draft: Draft, sequences: Sequences, *, completions_table: str) -> None:
        self._draft = draft
        self._sequences = sequences
        self._completions_table = completions_table
        self._stages: dict[Key, StageKey] = {}
        self._guarded_events: set[str] = set()

    def load(self, needs: Needs) -> Loaded:
        draft = self._draft
        events = {pair: keys.event_key(pair.event_id) for pair in needs.inbox}
        assets = {(key, id_): keys.asset_key(*key, id_) for key, ids in needs.assets.items() for id_ in ids}
        draft.read(
            [
                *(keys.stage_key(*key) for key in needs.stages),
                *assets.values(),
                *(keys.letter_key(number) for number in needs.letters if number >= 0),
                *map(keys.job_key, (*needs.moving, *needs.reading)),
                *map(keys.submission_key, needs.job_keys),
                *events.values(),
            ]
        )
        stages = {key: stage_of(item) for key in needs.stages if (item := self._stage(key)) is not None}
        letters = self._letters(needs.letters)
        jobs = {*needs.moving, *needs.reading, *(letter.job_id for letter in letters.values())}
        jobs |= {job_id for job_id, stage in needs.stages if (job_id, stage) not in stages}
        draft.read(map(keys.job_key, sorted(jobs)))
        for job_id in needs.closing:
            self._find_stages(job_id)
        consumed = {pair for pair, key in events.items() if QUEUE_PREFIX + pair.queue in (draft.get(key) or {})}
        for pair, key in events.items():
            if pair not in consumed:
                draft.check(key)
        found = {job_id: item for job_id in jobs if (item := draft.get(keys.job_key(job_id))) is not None}
        return Loaded(
            stages=stages,
            known={
                key: {id_: known_of(item) for id_ in ids if (item := draft.get(assets[key, id_])) is not None}
                for key, ids in needs.assets.items()
            },
            letters={
                number: letter
                for number, letter in letters.items()
                if not (found.get(letter.job_id) or {}).get("is_forgotten")
            },
            jobs={job_id: job_state(item) for job_id, item in found.items()},
            job_keys={
                key: str(item["job_id"])
                for key in needs.job_keys
                if (item := draft.get(keys.submission_key(key))) is not None
            },
            consumed=consumed,
        )

    def failed_assets(self, key: StageKey, limit: int) -> dict[str, str | None]:
        store, partition = self._draft.store, keys.failed_assets_of(*key)
        page = next(store.query(partition, index="agenda", page_size=limit), [])
        ids = [str(item["sk"]) for item in page]
        found = store.get_many([keys.asset_key(*key, asset_id) for asset_id in ids])
        items = {asset_id: found.get(keys.asset_key(*key, asset_id), {}) for asset_id in ids}
        return {
            asset_id: None if "error" not in item else str(item["error"])
            for asset_id, item in items.items()
            if item.get("state") == AssetState.FAILED
        }

    def insert_job(self, job: NewJob, now_ms: int) -> None:
        item: dict[str, Value | None] = {
            "job_id": job.job_id,
            "status": JobStatus.PENDING.value,
            "created_at": now_ms,
            "updated_at": now_ms,
            "input_path": job.input_path,
            "pipeline": job.pipeline,
            "parameters": pack(json.dumps(dict(job.parameters))),
            "idempotency_key": job.idempotency_key,
            "listing": keys.JOBS,
            "listing_key": keys.birth_order(now_ms, job.job_id),
            **job_agenda(job.job_id, JobStatus.PENDING, now_ms),
        }
        self._draft.put(keys.job_key(job.job_id), item)
        if job.idempotency_key is not None:
            self._draft.put(keys.submission_key(job.idempotency_key), {"job_id": job.job_id})

    def save_jobs(self, jobs: Mapping[str, JobState], now_ms: int) -> None:
        for job_id, job in jobs.items():
            key = keys.job_key(job_id)
            before = self._draft.get(key) or {}
            news: dict[str, Value | None] = {
                "status": job.status.value,
                "phase": job.phase,
                "failed_stage": job.failed_stage,
                "updated_at": now_ms,
                "swept_at": None,
                **job_agenda(job_id, job.status, now_ms),
            }
            if job.output_path is not None:
                news["output_path"] = job.output_path
            if job.error_message is not None:
                news["error_message"] = job.error_message or None
            self._draft.change(key, **news)
            if before.get("status") == JobStatus.FAILED and job.status is JobStatus.RUNNING:
                self._make_due_again(job_id)

    def close_stages(self, job_ids: Collection[str], now_ms: int) -> None:
        for key, (job_id, _) in list(self._stages.items()):
            item = self._draft.get(key)
            if job_id in job_ids and item is not None and is_open(item):
                self._draft.change(key, closed_at=now_ms, **NOWHERE)

    def save_stages(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            key = keys.stage_key(stage.job_id, stage.stage)
            before = self._draft.get(key)
            if before is None:
                self._guard_job(stage.job_id)
            self._stages[key] = (stage.job_id, stage.stage)
            item: dict[str, Value | None] = {
                **(before or {}),
                "job_id": stage.job_id,
                "stage": stage.stage,
                "created_at": stage.created_at,
                "expected": stage.expected,
                "done": stage.done,
                "failed": stage.failed,
                "late": stage.late,
                "done_weight": stage.done_weight,
                "progress": stage.progress,
                "watermark_at": stage.watermark_at,
                "closed_at": stage.closed_at,
            }
            self._draft.put(key, {**item, **stage_places(item)})

    def complete_stages(self, completions: Sequence[tuple[Completion, int]]) -> None:
        for fired, at_ms in completions:
            key = keys.stage_key(fired.job_id, fired.stage)
            item = self._draft.get(key)
            if item is None or not is_open(item):
                raise StoreUnavailable(
                    f"stage {fired.stage} of {fired.job_id} was to complete; the group is taken back"
                )
            more = {"topic": fired.topic, "processed_weight": fired.processed_weight}
            text = json.dumps({**fired.payload(), **more}, separators=(",", ":"))
            self._draft.change(key, completed_at=at_ms, completion=text, **NOWHERE)
            self._guarded_events.add(fired.event_id)

    def write_assets(self, key: StageKey, rows: Sequence[AssetRow]) -> None:
        stage_key = keys.stage_key(*key)
        stage = self._draft.get(stage_key) or {}
        shards, last = int(stage.get("shards", 0)), int(stage.get("last_recorded_at", 0))
        for row in rows:
            asset_key = keys.asset_key(*key, row.asset_id)
            is_news = row.outcome is not None or self._draft.get(asset_key) is None
            self._write_asset(key, asset_key, row)
            shards |= 1 << keys.asset_shard(row.asset_id)
            last = max(last, row.recorded_at) if is_news else last
        self._draft.change(stage_key, shards=shards, last_recorded_at=last or None)

    def insert_conflicts(self, conflicts: Sequence[AnnouncementConflict]) -> None:
        for conflict in conflicts:
            sequence = self._next_sequence(conflict.job_id, conflict.recorded_at)
            item = {
                "job_id": conflict.job_id,
                "stage": conflict.stage,
                "expected": conflict.expected,
                "announced": conflict.announced,
                "recorded_at": conflict.recorded_at,
            }
            self._draft.put(keys.conflict_key(conflict.job_id, sequence), item)

    def insert_inbox(self, pairs: Sequence[Inbox], now_ms: int) -> None:
        for pair in pairs:
            self._mark_event(keys.event_key(pair.event_id), QUEUE_PREFIX + pair.queue, now_ms)

    def insert_dead_letters(self, letters: Sequence[NewDeadLetter], now_ms: int) -> None:
        """One of the same message that stands there still is renewed: who replays it answers this time, too."""
        messages = [keys.message_key(each.job_id, each.queue, each.event_id, each.body) for each in letters]
        self._draft.read([*messages, *(keys.event_key(letter.event_id) for letter in letters)])
        standing = [int(item["dead_letter_id"]) for key in messages if (item := self._draft.get(key)) is not None]
        self._draft.read(map(keys.letter_key, standing))
        for letter, message_key in zip(letters, messages, strict=True):
            pointer = self._draft.get(message_key)
            number = None if pointer is None else int(pointer["dead_letter_id"])
            before = None if number is None else self._draft.get(keys.letter_key(number))
            if number is None or before is None or "replayed_at" in before:
                number = self._sequences.next_letter(now_ms)
                self._draft.put(message_key, {"dead_letter_id": number})
            self._draft.put(keys.letter_key(number), _letter_item(number, letter, now_ms))
            self._mark_event(keys.event_key(letter.event_id), LETTER_PREFIX + letter.queue, now_ms)

    def mark_replayed(self, dead_letter_ids: Sequence[int], now_ms: int) -> None:
        for number in dead_letter_ids:
            self._draft.change(keys.letter_key(number), replayed_at=now_ms)

    def insert_events(self, events: Sequence[Message], now_ms: int) -> None:
        fresh = self._drop_known(events, now_ms)
        for job_id, own in groupby(sorted(fresh, key=_job_of), key=_job_of):
            for some in chunks([*own]):
                sequence = self._next_sequence(job_id, now_ms)
                self._draft.put(keys.outbox_key(job_id, sequence), packed(sequence, some, now_ms))

    def lost(self, receipts: Sequence[object]) -> set[object]:
        if not receipts:
            return set()
        raise StoreUnavailable("this ledger has no broker of its own; acknowledge through the delivery")

    def acknowledge(self, receipts: Sequence[object]) -> None:
        self.lost(receipts)

    def show_early(self) -> None:
        """A transaction is shown when it is recorded."""

    def _stage(self, key: StageKey) -> Item | None:
        item = self._draft.get(keys.stage_key(*key))
        if item is not None:
            self._stages[keys.stage_key(*key)] = key
        return item

    def _letters(self, numbers: Sequence[int]) -> dict[int, DeadLetter]:
        found = {number: self._draft.get(keys.letter_key(number)) for number in numbers if number >= 0}
        return {number: letter_of(item) for number, item in found.items() if item is not None}

    def _find_stages(self, job_id: str) -> list[Key]:
        """All stages of a job: whoever gives birth to another one meanwhile meets the job's version."""
        pages = self._draft.store.query(keys.job_key(job_id)[0], prefix=keys.STAGE_PREFIX)
        found = []
        for item in (item for page in pages for item in page):
            key = self._draft.take(item)
            self._stages[key] = (str(item["job_id"]), str(item["stage"]))
            found.append(key)
        return found

    def _make_due_again(self, job_id: str) -> None:
        """Its stages were not looked at while it had failed."""
        for key in self._find_stages(job_id):
            item = self._draft.get(key)
            if item is not None and is_open(item) and "watermark_at" in item:
                self._draft.change(key, agenda_key=keys.number(max(int(item["watermark_at"]), 0)))

    def _guard_job(self, job_id: str) -> None:
        """Of a stage that is born: who cancels the job at the same time finds that it has changed."""
        key = keys.job_key(job_id)
        if self._draft.get(key) is None:
            self._draft.check(key)
        else:
            self._draft.change(key)

    def _write_asset(self, key: StageKey, asset_key: Key, row: AssetRow) -> None:
        before = self._draft.get(asset_key)
        if row.outcome is None and before is not None:
            self._draft.change(asset_key, attempts=row.attempts)
            return
        outcome = row.outcome
        result = None if outcome is None else encode_result(outcome.result)
        is_failed = outcome is not None and row.state is AssetState.FAILED
        item: dict[str, Value | None] = {
            "state": row.state.value,
            "weight": None if row.weight == 1 else row.weight,
            "late": 1 if row.late else None,
            "attempts": row.attempts or None,
            "result": None if result is None else pack(result),
            "error": None if outcome is None or not outcome.error else error_text(outcome.error),
            "recorded_at": row.recorded_at,
            "agenda": keys.failed_assets_of(*key) if is_failed else None,
            "agenda_key": row.asset_id if is_failed else None,
        }
        self._draft.put(asset_key, item)
        if outcome is None or row.state is not AssetState.DONE:
            return
        self._guarded_events |= {_id_of(event) for event in outcome.events}
        completion = segment_completion_of(key[1], outcome.result)
        if completion is not None:
            expires_at = row.recorded_at // 1000 + SEGMENTS_TTL_SECONDS
            record = completion | {TTL_ATTRIBUTE: expires_at}
            self._draft.put_elsewhere(self._completions_table, record, key=COMPLETIONS_KEY)

    def _mark_event(self, key: Key, name: str, now_ms: int) -> None:
        self._draft.read([key])
        values = {name: now_ms, TTL_ATTRIBUTE: now_ms // 1000 + EVENT_TTL_SECONDS}
        self._draft.change(key, **values)

    def _drop_known(self, events: Sequence[Message], now_ms: int) -> list[Message]:
        """Without those that were recorded before. An event that comes with an asset or a completion is recorded with
        it, and so once; any other leaves a mark, or one for all of them where they are many.
        """
        ids = dict.fromkeys(event.event_id for event in events if event.queue is None)
        loose = [event_id for event_id in ids if event_id not in self._guarded_events]
        marks = {event_id: keys.event_key(event_id) for event_id in loose}
        if len(loose) > LOOSE_EVENTS_MAX:
            marks = dict.fromkeys(loose, keys.batch_key(sorted(loose)))
        self._draft.read(marks.values())
        seen = {event_id for event_id, key in marks.items() if RECORDED in (self._draft.get(key) or {})}
        for key in {key: None for event_id, key in marks.items() if event_id not in seen}:
            self._mark_event(key, RECORDED, now_ms)
        fresh = []
        for event in events:
            if event.queue is None:
                if event.event_id in seen:
                    continue
                seen.add(event.event_id)
            fresh.append(event)
        return fresh

    def _next_sequence(self, job_id: str, now_ms: int) -> int:
        """Behind all that is known of the job here."""
        near = [key for key, (owner, _) in self._stages.items() if owner == job_id]
        near.append(keys.job_key(job_id))
        items = {key: item for key in near if self._draft.is_read(key) and (item := self._draft.get(key)) is not None}
        after = max((int(item.get("sequence", 0)) for item in items.values()), default=0)
        sequence = self._sequences.next(now_ms, after=after)
        for key in items:
            if self._draft.is_written(key):
                self._draft.change(key, sequence=sequence)
        return sequence


def _letter_item(number: int, letter: NewDeadLetter, now_ms: int) -> dict[str, Value | None]:
    """Whatever is in the outbox fits; of what others have sent, as much as fits."""
    body, error = pack(letter.body), letter.error
    if isinstance(body, bytes) and len(body) > PACKED_BYTES_MAX:
        body = pack(letter.body[:LETTER_CHARACTERS_MAX])
        error = f"of {len(letter.body)} characters {LETTER_CHARACTERS_MAX} are kept here; {error}"
    return {
        "dead_letter_id": number,
        "job_id": letter.job_id,
        "queue": letter.queue,
        "stage": letter.stage,
        "topic": letter.topic,
        "event_id": letter.event_id,
        "body": body,
        "error": error_text(error),
        "attempts": letter.attempts,
        "created_at": now_ms,
        "listing": keys.LETTERS,
        "listing_key": keys.number(number),
        "agenda": keys.letters_of(letter.job_id),
        "agenda_key": keys.number(number),
    }


def _job_of(event: Message) -> str:
    return event.job_id


def _id_of(event: Any) -> str:
    return event.event_id if isinstance(event, Message) else str(event.identity)
