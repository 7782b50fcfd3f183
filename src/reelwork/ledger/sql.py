"""The ledger on SQL databases: transactions of hot statements, reads through SQLAlchemy Core."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Row, Select, Text, and_, case, cast, func, select, tuple_
from sqlalchemy.exc import DataError

from reelwork.database import Database, Listener
from reelwork.errors import JobNotFound
from reelwork.ledger import pruning, schema
from reelwork.ledger.base import PAGE_SIZE, Clock, Courier, Ledger
from reelwork.ledger.census import Census, take_census
from reelwork.ledger.commit import Transaction
from reelwork.ledger.postgresql import PostgresqlTransaction
from reelwork.ledger.quick import QuickWay
from reelwork.ledger.records import (
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
from reelwork.ledger.sqlite import SqliteTransaction
from reelwork.ledger.transaction import SqlTransaction, statement
from reelwork.ledger.work import Work, is_text, texts_among

ASSET_PAGE_SIZE = 1_000
# A job as hot statements read it too: its parameters are text.
JOB_COLUMNS: Final[Sequence[ColumnElement[Any]]] = [
    cast(column, Text) if column is schema.jobs.c.parameters else column
    for column in (schema.jobs.c[field.name] for field in fields(Job))
]
TRANSACTIONS: Mapping[str, type[SqlTransaction]] = {"sqlite": SqliteTransaction, "postgresql": PostgresqlTransaction}

T = TypeVar("T")


class SqlLedger(Ledger):
    def __init__(self, database: Database, *, clock: Clock = time.time) -> None:
        super().__init__(clock=clock)
        self.database = database
        self._courier: Courier | None = None
        self._quick_way = QuickWay(database) if database.dialect == "postgresql" else None

    def transact(self, change: Callable[[Transaction], T]) -> T:
        start = TRANSACTIONS[self.database.dialect]
        return self.database.transact(lambda connection: change(start(connection, self._courier)))

    def _commit_group(self, works: Sequence[Work]) -> Sequence[list[Completion] | Exception]:
        if self._quick_way is not None and self._quick_way.commit(works, self.now_ms(), self._courier):
            return [Recorded() for _ in works]
        return super()._commit_group(works)

    def attach(self, courier: Courier) -> None:
        self._courier = courier

    def job(self, job_id: str) -> Job:
        found = self.find_jobs([job_id])
        if not found:
            raise JobNotFound(f"no job has the id {job_id}")
        return found[job_id]

    def find_jobs(self, job_ids: Sequence[str]) -> Mapping[str, Job]:
        jobs = (_job(row) for row in self._hot_rows("find_jobs", self.database.array(texts_among(job_ids))))
        return {job.job_id: job for job in jobs}

    def jobs(
        self,
        *,
        statuses: Sequence[JobStatus] = (),
        pipeline: str | None = None,
        before: str | None = None,
        limit: int = PAGE_SIZE,
    ) -> list[Job]:
        table = schema.jobs
        query = select(*JOB_COLUMNS).order_by(table.c.created_at.desc(), table.c.job_id.desc()).limit(limit)
        if statuses:
            query = query.where(table.c.status.in_([status.value for status in statuses]))
        if pipeline is not None:
            query = query.where(table.c.pipeline == pipeline)
        if before is not None:
            last = self.job(before)
            query = query.where(tuple_(table.c.created_at, table.c.job_id) < tuple_(last.created_at, last.job_id))
        return [_job(row) for row in self._rows(query)]

    def job_with_key(self, idempotency_key: str) -> str | None:
        rows = self._rows(select(schema.jobs.c.job_id).where(schema.jobs.c.idempotency_key == idempotency_key))
        return rows[0].job_id if rows else None

    def running_jobs(self, *, after: str = "", limit: int = PAGE_SIZE) -> list[str]:
        return [job_id for (job_id,) in self._hot_rows("running_jobs", after, limit)]

    def stage_status(self, job_id: str) -> list[StageStatus]:
        return [_stage(row) for row in self._hot_rows("stage_status", job_id)] if is_text(job_id) else []

    def known_assets(self, job_id: str, stage: str, asset_ids: Sequence[str]) -> Mapping[str, Known]:
        ids = self.database.array(texts_among(asset_ids))
        rows = self._hot_rows("known_assets", job_id, stage, ids)
        return {asset_id: Known(AssetState(state), attempts, bool(late)) for asset_id, state, attempts, late in rows}

    def assets(
        self,
        job_id: str,
        stage: str,
        *,
        states: Sequence[AssetState] = (),
        include_late: bool = True,
        prefix: str = "",
    ) -> Iterator[AssetRecord]:
        table = schema.assets
        query = select(table).where(table.c.job_id == job_id, table.c.stage == stage)
        if states:
            query = query.where(table.c.state.in_([state.value for state in states]))
        if not include_late:
            query = query.where(table.c.late.is_(False))
        if prefix:  # the same in every collation, and in either case of letters another
            query = query.where(func.substr(table.c.asset_id, 1, len(prefix)) == prefix)
        query = query.order_by(table.c.asset_id).limit(ASSET_PAGE_SIZE)
        page = self._rows(query)
        while page:
            yield from map(_asset, page)
            page = self._rows(query.where(table.c.asset_id > page[-1].asset_id))

    def conflicts(self, job_id: str) -> list[AnnouncementConflict]:
        table = schema.announcement_conflicts
        rows = self._rows(select(table).where(table.c.job_id == job_id).order_by(table.c.conflict_id).limit(PAGE_SIZE))
        return [
            AnnouncementConflict(
                job_id=row.job_id,
                stage=row.stage,
                expected=row.expected,
                announced=row.announced,
                recorded_at=row.recorded_at,
            )
            for row in rows
        ]

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
        table = schema.dead_letters
        query = select(table).order_by(table.c.dead_letter_id.desc()).limit(limit)
        for column, value in ((table.c.job_id, job_id), (table.c.stage, stage), (table.c.queue, queue)):
            if value is not None:
                query = query.where(column == value)
        if error is not None:
            query = query.where(table.c.error.icontains(error, autoescape=True))
        if replayed is not None:
            query = query.where(table.c.replayed_at.is_not(None) if replayed else table.c.replayed_at.is_(None))
        if before is not None:
            query = query.where(table.c.dead_letter_id < before)
        return [DeadLetter(**row._mapping) for row in self._rows(query)]

    def dead_letter(self, dead_letter_id: int) -> DeadLetter | None:
        rows = self._rows(select(schema.dead_letters).where(schema.dead_letters.c.dead_letter_id == dead_letter_id))
        return DeadLetter(**rows[0]._mapping) if rows else None

    def outbox(self, job_id: str) -> list[OutboxRow]:
        return [_outbox(row) for row in self._hot_rows("outbox", job_id)] if is_text(job_id) else []

    def unpublished(self, limit: int = PAGE_SIZE) -> list[OutboxRow]:
        return [_outbox(row) for row in self._hot_rows("unpublished", limit)]

    def unfinished(self, *, published_before_ms: int, limit: int = PAGE_SIZE) -> list[OutboxRow]:
        return [_outbox(row) for row in self._hot_rows("unfinished", published_before_ms, limit)]

    def consumers(self, event_ids: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        queues: dict[str, dict[str, int]] = {event_id: {} for event_id in event_ids}
        for event_id, queue, at_ms in self._hot_rows("consumers", self.database.array(event_ids)):
            queues[event_id][queue] = max(at_ms, queues[event_id].get(queue, at_ms))
        return queues

    def awaits(self, job_id: str, bindings: Sequence[tuple[str, str]]) -> bool:
        return any(self._hot_rows("awaits", job_id, topic, queue) for topic, queue in bindings)

    def mark_published(self, sequences: Sequence[int], *, look_again_at: Mapping[int, int]) -> None:
        now_ms = self.now_ms()
        rows = [(now_ms, look_again_at[sequence], sequence) for sequence in sequences]
        self.database.change(self._statement("mark_published"), rows)

    def mark_finished(self, sequences: Sequence[int]) -> None:
        now_ms = self.now_ms()
        rows = [(now_ms, sequence) for sequence in sequences]
        self.database.change(self._statement("mark_finished"), rows)

    def lease(self, name: str) -> Lease:
        return next((Lease(*row) for row in self._hot_rows("lease", name)), Lease())

    def take_lease(self, name: str, *, owner: str, was: Lease) -> bool:
        taken = (name, owner, was.owner, was.beats)
        return self.database.run(self._statement("take_lease"), taken, is_durable=False).changed == 1

    def listen(self) -> Listener:
        return self.database.listen()

    def due_stages(self, *, limit: int = PAGE_SIZE) -> list[StageStatus]:
        return [_stage(row) for row in self._hot_rows("due_stages", self.now_ms(), limit)]

    def open_stages(self, *, after: tuple[str, str] | None = None, limit: int = PAGE_SIZE) -> list[StageStatus]:
        return [_stage(row) for row in self._hot_rows("open_stages", *(after or ("", "")), limit)]

    def last_recorded_at(self, job_id: str, stage: str) -> int | None:
        table = schema.assets
        query = select(func.max(table.c.recorded_at)).where(table.c.job_id == job_id, table.c.stage == stage)
        last: int | None = self._rows(query)[0][0]
        return last

    def queue_depths(self, job_id: str) -> list[QueueDepth]:
        table, now_ms = schema.messages, self.now_ms()
        is_takeable, is_leased = table.c.visible_at <= now_ms, table.c.lease.is_not(None)
        waiting_since = case((table.c.visible_at > table.c.enqueued_at, table.c.visible_at), else_=table.c.enqueued_at)
        query = (
            select(
                table.c.queue,
                func.count().filter(is_takeable, ~is_leased).label("waiting"),
                func.count().filter(is_takeable, is_leased).label("abandoned"),
                func.count().filter(~is_takeable, ~is_leased).label("pausing"),
                func.count().filter(~is_takeable, is_leased).label("in_hand"),
                func.min(waiting_since).filter(is_takeable).label("oldest_waiting_at"),
            )
            .where(table.c.job_id == job_id)
            .group_by(table.c.queue)
            .order_by(table.c.queue)
        )
        return [
            QueueDepth(**row._mapping, is_worked_on=bool(row.in_hand) or self._is_worked_on(row.queue))
            for row in self._rows(query)
        ]

    def _is_worked_on(self, queue: str) -> bool:
        table = schema.messages
        in_hand = and_(table.c.lease.is_not(None), table.c.visible_at > self.now_ms())
        return bool(self._rows(select(table.c.message_id).where(table.c.queue == queue, in_hand).limit(1)))

    def census(self) -> Census:
        return take_census(self.database, self.now_ms())

    def unswept_jobs(self, *, ended_before_ms: int, limit: int = PAGE_SIZE) -> list[Job]:
        return [_job(row) for row in self._hot_rows("unswept_jobs", ended_before_ms, limit)]

    def mark_swept(self, job_id: str) -> None:
        self.database.run(self._statement("mark_swept"), (self.now_ms(), job_id))

    def prunable_jobs(self, *, ended_before_ms: int) -> Iterator[str]:
        return pruning.prunable_jobs(self.database, ended_before_ms=ended_before_ms)

    def claim_job(self, job_id: str, *, ended_before_ms: int) -> bool:
        return pruning.claim_job(self.database, job_id, ended_before_ms=ended_before_ms)

    def remove_rows(self, job_id: str) -> int:
        return pruning.remove_rows(self.database, job_id)

    def ping(self) -> None:
        self._rows(select(schema.jobs.c.job_id).limit(1))

    def close(self) -> None:
        self.database.close()

    def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        try:
            with self.database.reading() as connection:
                return connection.execute(query).all()
        except (UnicodeEncodeError, DataError):  # asked for what is no text: no row holds it
            return []

    def _statement(self, name: str) -> str:
        return statement(self.database.dialect, name)

    def _hot_rows(self, name: str, *parameters: object) -> Sequence[tuple[Any, ...]]:
        return self.database.rows(self._statement(name), parameters)


def _job(row: Sequence[Any]) -> Job:
    """From JOB_COLUMNS."""
    (job_id, status, created_at, updated_at, input_path, output_path, error_message, *rest) = row
    pipeline, phase, parameters, idempotency_key = rest
    return Job(
        job_id=job_id,
        status=JobStatus(status),
        created_at=created_at,
        updated_at=updated_at,
        input_path=input_path,
        output_path=output_path,
        error_message=error_message,
        pipeline=pipeline,
        phase=phase,
        parameters=json.loads(parameters),
        idempotency_key=idempotency_key,
    )


def _stage(row: tuple[Any, ...]) -> StageStatus:
    job_id, stage, expected, done, failed, late, watermark_at, completion, done_weight, progress, *times = row
    created_at, completed_at, closed_at = times
    return StageStatus(
        job_id=job_id,
        stage=stage,
        expected=expected,
        done=done,
        failed=failed,
        late=late,
        watermark_at=watermark_at,
        completion=None if completion is None else Completion(stage=stage, **json.loads(completion)),
        done_weight=done_weight,
        progress=progress,
        created_at=created_at,
        completed_at=completed_at,
        closed_at=closed_at,
    )


def _asset(row: Row[Any]) -> AssetRecord:
    return AssetRecord(
        asset_id=row.asset_id,
        state=AssetState(row.state),
        weight=row.weight,
        late=bool(row.late),
        attempts=row.attempts,
        result=None if row.result is None else json.loads(row.result),
        error=row.error,
        recorded_at=row.recorded_at,
    )


def _outbox(row: Sequence[Any]) -> OutboxRow:
    sequence, event_id, job_id, topic, queue, is_replay, body, created_at, published_at, finished_at, publications = row
    return OutboxRow(
        sequence=sequence,
        event_id=event_id,
        job_id=job_id,
        topic=topic,
        queue=queue,
        is_replay=bool(is_replay),
        body=body,
        created_at=created_at,
        published_at=published_at,
        finished_at=finished_at,
        publications=publications,
    )
