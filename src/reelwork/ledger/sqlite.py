"""The write transaction of the ledger on SQLite: hot statements, plain SQL on the driver's connection."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from reelwork.errors import StoreUnavailable
from reelwork.ledger.base import Courier
from reelwork.ledger.commit import JobState, StageKey
from reelwork.ledger.records import AnnouncementConflict, AssetState, Completion, DeadLetter, JobStatus, Known
from reelwork.ledger.stage import AssetRow, Stage
from reelwork.ledger.work import Inbox, NewDeadLetter, NewJob, encode_result, error_text
from reelwork.message import Message


@cache
def statement(name: str) -> str:
    return files("reelwork.ledger").joinpath("statements", f"{name}.sql").read_text(encoding="utf-8")


class SqliteTransaction:
    """The primitives of `reelwork.ledger.commit.Transaction` inside one `BEGIN IMMEDIATE`, which locks out all
    writers.
    """

    def __init__(self, connection: sqlite3.Connection, courier: Courier | None) -> None:
        self._connection = connection
        self._courier = courier
        self.has_events = False

    def load_stages(self, keys: Sequence[StageKey]) -> dict[StageKey, Stage]:
        rows = self._connection.execute(statement("load_stages"), (json.dumps(keys),))
        return {(row[0], row[1]): _stage(row) for row in rows}

    def known_assets(self, key: StageKey, asset_ids: Sequence[str]) -> dict[str, Known]:
        rows = self._connection.execute(statement("known_assets"), (*key, json.dumps(asset_ids)))
        return {asset_id: Known(AssetState(state), attempts, bool(late)) for asset_id, state, attempts, late in rows}

    def load_jobs(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        rows = self._connection.execute(statement("load_jobs"), (json.dumps(job_ids),))
        return {
            job_id: JobState(JobStatus(status), phase, failed_stage) for job_id, status, phase, failed_stage in rows
        }

    def job_with_key(self, idempotency_key: str) -> str | None:
        row = self._connection.execute(
            "SELECT job_id FROM jobs WHERE idempotency_key = ?", (idempotency_key,)
        ).fetchone()
        return None if row is None else str(row[0])

    def consumed(self, pairs: Sequence[Inbox]) -> set[Inbox]:
        event_ids = [pair.event_id for pair in pairs]
        return {Inbox(*row) for row in self._connection.execute(statement("consumed"), (json.dumps(event_ids),))}

    def dead_letter(self, dead_letter_id: int) -> DeadLetter | None:
        cursor = self._connection.execute("SELECT * FROM dead_letters WHERE dead_letter_id = ?", (dead_letter_id,))
        row = cursor.fetchone()
        names = [column[0] for column in cursor.description]
        return None if row is None else DeadLetter(**dict(zip(names, row, strict=True)))

    def failed_assets(self, key: StageKey, limit: int) -> dict[str, str | None]:
        return dict(self._connection.execute(statement("failed_assets"), (*key, limit)).fetchall())

    def insert_job(self, job: NewJob, now_ms: int) -> None:
        self._connection.execute(
            statement("insert_job"),
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
            statement("save_job"),
            [
                (
                    job.status,
                    job.phase,
                    job.failed_stage,
                    job.output_path,
                    job.error_message,
                    job.error_message,
                    now_ms,
                    job_id,
                )
                for job_id, job in jobs.items()
            ],
        )

    def close_stages(self, job_ids: Collection[str], now_ms: int) -> None:
        self._connection.execute(statement("close_stages"), (now_ms, json.dumps(sorted(job_ids))))

    def save_stages(self, stages: Sequence[Stage]) -> None:
        self._connection.executemany(
            statement("save_stage"),
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
        fired = self._connection.executemany(statement("complete_stage"), rows).rowcount
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
            self._connection.executemany(statement("record_asset"), recorded)
        if started:
            self._connection.executemany(statement("start_asset"), started)

    def insert_conflicts(self, conflicts: Sequence[AnnouncementConflict]) -> None:
        self._connection.executemany(
            statement("insert_conflict"),
            [(c.job_id, c.stage, c.expected, c.announced, c.recorded_at) for c in conflicts],
        )

    def insert_inbox(self, pairs: Sequence[Inbox], now_ms: int) -> None:
        self._connection.executemany(statement("insert_inbox"), [(*pair, now_ms) for pair in pairs])

    def insert_dead_letters(self, letters: Sequence[NewDeadLetter], now_ms: int) -> None:
        self._connection.executemany(
            statement("insert_dead_letter"),
            [
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
            ],
        )

    def mark_replayed(self, dead_letter_ids: Sequence[int], now_ms: int) -> None:
        self._connection.executemany(
            statement("mark_replayed"), [(now_ms, dead_letter_id) for dead_letter_id in dead_letter_ids]
        )

    def insert_events(self, events: Sequence[Message], now_ms: int) -> None:
        fresh = self._drop_known(events)
        sent_at = None if self._courier is None else now_ms
        publications = 0 if self._courier is None else 1
        self._connection.executemany(
            statement("insert_event"),
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
        if self._courier is not None and fresh:
            self._courier.publish(self._connection, fresh, now_ms)
        self.has_events = bool(fresh)

    def _drop_known(self, events: Sequence[Message]) -> list[Message]:
        event_ids = json.dumps([event.event_id for event in events])
        seen = {row[0] for row in self._connection.execute(statement("known_events"), (event_ids,))}
        fresh = []
        for event in events:
            if event.queue is None:
                if event.event_id in seen:
                    continue
                seen.add(event.event_id)
            fresh.append(event)
        return fresh

    def acknowledge(self, receipts: Sequence[object]) -> None:
        if self._courier is None:
            raise StoreUnavailable("this ledger has no broker of its own; acknowledge through the delivery")
        self._courier.acknowledge(self._connection, receipts)


def _encode(completion: Completion) -> str:
    return json.dumps({**completion.payload(), "topic": completion.topic}, separators=(",", ":"))


def _stage(row: tuple[Any, ...]) -> Stage:
    stage = Stage(*row)
    stage.is_new = False
    return stage
