"""What every write transaction of the ledger on SQL does alike: hot statements, plain SQL, a few for a whole group."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from reelwork.database import Connection, Statements
from reelwork.errors import StoreUnavailable
from reelwork.ledger.base import OUTBOX_RING, Courier
from reelwork.ledger.commit import Loaded, Needs, StageKey
from reelwork.ledger.job import JobState
from reelwork.ledger.records import AnnouncementConflict, Completion, DeadLetter
from reelwork.ledger.stage import AssetRow, Stage
from reelwork.ledger.work import Inbox, NewDeadLetter, NewJob, encode_result, error_text
from reelwork.message import Message

statement: Final = Statements("reelwork.ledger")
LETTER_COLUMNS: Final = tuple(field.name for field in fields(DeadLetter))


class SqlTransaction(ABC):
    """The writes of `reelwork.ledger.commit.Transaction`; how rows are locked and loaded differs by engine."""

    def __init__(self, connection: Connection, courier: Courier | None) -> None:
        self._connection = connection
        self._courier = courier

    @abstractmethod
    def load(self, needs: Needs) -> Loaded: ...

    def _statement(self, name: str) -> str:
        return statement(self._connection.dialect, name)

    def failed_assets(self, key: StageKey, limit: int) -> dict[str, str | None]:
        return dict(self._connection.execute(self._statement("failed_assets"), (*key, limit)).fetchall())

    def insert_job(self, job: NewJob, now_ms: int) -> None:
        self._connection.execute(
            self._statement("insert_job"),
            (
                job.job_id,
                now_ms,
                now_ms,
                job.input_path,
                job.pipeline,
                json.dumps(dict(job.parameters)),
                job.idempotency_key,
            ),
        )

    def save_jobs(self, jobs: Mapping[str, JobState], now_ms: int) -> None:
        self._connection.executemany(
            self._statement("save_job"),
            [
                (
                    job.status,
                    job.phase,
                    job.failed_stage,
                    job.output_path,
                    job.error_message,
                    now_ms,
                    job_id,
                )
                for job_id, job in jobs.items()
            ],
        )

    def close_stages(self, job_ids: Collection[str], now_ms: int) -> None:
        self._connection.execute(self._statement("close_stages"), (now_ms, self._connection.array(sorted(job_ids))))

    def save_stages(self, stages: Sequence[Stage]) -> None:
        self._connection.executemany(
            self._statement("save_stage"),
            [
                (
                    stage.expected,
                    stage.done,
                    stage.failed,
                    stage.late,
                    stage.done_weight,
                    stage.progress,
                    stage.watermark_at,
                    stage.closed_at,
                    stage.created_at,
                    stage.job_id,
                    stage.stage,
                )
                for stage in stages
            ],
        )

    def complete_stages(self, completions: Sequence[tuple[Completion, int]]) -> None:
        rows = [(at_ms, _encode(fired), fired.job_id, fired.stage) for fired, at_ms in completions]
        fired = self._connection.executemany(self._statement("complete_stage"), rows).rowcount
        if fired != len(rows):
            raise StoreUnavailable(f"{len(rows)} stages were to complete, {fired} did; the group is taken back")

    def write_assets(self, key: StageKey, rows: Sequence[AssetRow]) -> None:
        recorded = [
            (
                *key,
                row.asset_id,
                row.state,
                row.weight,
                row.late,
                row.attempts,
                encode_result(row.outcome.result),
                row.outcome.error and error_text(row.outcome.error),
                row.recorded_at,
            )
            for row in rows
            if row.outcome is not None
        ]
        started = [(*key, row.asset_id, row.attempts, row.recorded_at) for row in rows if row.outcome is None]
        if recorded:
            self._connection.executemany(self._statement("record_asset"), recorded)
        if started:
            self._connection.executemany(self._statement("start_asset"), started)

    def insert_conflicts(self, conflicts: Sequence[AnnouncementConflict]) -> None:
        self._connection.executemany(
            self._statement("insert_conflict"),
            [(c.job_id, c.stage, c.expected, c.announced, c.recorded_at) for c in conflicts],
        )

    def insert_inbox(self, pairs: Sequence[Inbox], now_ms: int) -> None:
        self._connection.executemany(self._statement("insert_inbox"), [(*pair, now_ms) for pair in sorted(pairs)])

    def insert_dead_letters(self, letters: Sequence[NewDeadLetter], now_ms: int) -> None:
        rows = [
            (
                letter.job_id,
                letter.queue,
                letter.stage,
                letter.topic,
                letter.event_id,
                letter.body,
                error_text(letter.error),
                letter.attempts,
                now_ms,
            )
            for letter in letters
        ]
        self._connection.executemany(self._statement("renew_dead_letter"), rows)
        self._connection.executemany(self._statement("insert_dead_letter"), rows)

    def mark_replayed(self, dead_letter_ids: Sequence[int], now_ms: int) -> None:
        self._connection.executemany(
            self._statement("mark_replayed"), [(now_ms, dead_letter_id) for dead_letter_id in dead_letter_ids]
        )

    def insert_events(self, events: Sequence[Message], now_ms: int) -> None:
        fresh = self._drop_known(events)
        if not fresh:
            return
        sent_at = None if self._courier is None else now_ms
        publications = 0 if self._courier is None else 1
        self._connection.executemany(
            self._statement("insert_event"),
            [
                (
                    event.event_id,
                    event.job_id,
                    event.topic,
                    event.queue,
                    event.is_replay,
                    event.body,
                    now_ms,
                    sent_at,
                    sent_at,
                    publications,
                )
                for event in fresh
            ],
        )
        if self._courier is None:
            self._connection.ring([OUTBOX_RING])
        else:
            self._publish(self._courier, fresh, now_ms)

    def _publish(self, courier: Courier, events: Sequence[Message], now_ms: int) -> None:
        """Puts into their queues what was just put into the outbox."""
        courier.publish(self._connection, events, now_ms)

    def _drop_known(self, events: Sequence[Message]) -> list[Message]:
        event_ids = self._connection.array([event.event_id for event in events])
        seen = {row[0] for row in self._connection.execute(self._statement("known_events"), (event_ids,)).fetchall()}
        fresh = []
        for event in events:
            if event.queue is None:
                if event.event_id in seen:
                    continue
                seen.add(event.event_id)
            fresh.append(event)
        return fresh

    def lost(self, receipts: Sequence[Any]) -> set[object]:
        return self._own_courier.lost(self._connection, receipts)

    def show_early(self) -> None:
        self._connection.show_early()

    def acknowledge(self, receipts: Sequence[Any]) -> None:
        self._own_courier.acknowledge(self._connection, receipts)

    @property
    def _own_courier(self) -> Courier:
        if self._courier is None:
            raise StoreUnavailable("this ledger has no broker of its own; acknowledge through the delivery")
        return self._courier


def _encode(completion: Completion) -> str:
    more = {"topic": completion.topic, "processed_weight": completion.processed_weight}
    return json.dumps({**completion.payload(), **more}, separators=(",", ":"))


def letter_of(row: tuple[Any, ...]) -> DeadLetter:
    """From the columns in the order of its fields."""
    return DeadLetter(**dict(zip(LETTER_COLUMNS, row, strict=True)))


def stage_of(row: tuple[Any, ...]) -> Stage:
    stage = Stage(*row)
    stage.is_new = False
    return stage
