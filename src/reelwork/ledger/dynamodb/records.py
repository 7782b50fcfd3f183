"""From items to what the ledger tells."""

from __future__ import annotations

import json
from typing import Any, Final

from reelwork.ledger.dynamodb.items import Item, Value, unpack
from reelwork.ledger.job import JobState
from reelwork.ledger.records import (
    AnnouncementConflict,
    AssetRecord,
    AssetState,
    Completion,
    DeadLetter,
    Job,
    JobStatus,
    Known,
    StageStatus,
)
from reelwork.ledger.stage import Stage

QUEUE_PREFIX: Final = "q:"
"""Attributes of an event's item: by queue, when it consumed the event."""
LETTER_PREFIX: Final = "d:"
"""The same, of dead letters."""


def job_of(item: Item) -> Job:
    return Job(
        job_id=str(item["job_id"]),
        status=JobStatus(str(item["status"])),
        created_at=int(item["created_at"]),
        updated_at=int(item["updated_at"]),
        input_path=str(item["input_path"]),
        output_path=_text(item.get("output_path")),
        error_message=_text(item.get("error_message")),
        pipeline=str(item["pipeline"]),
        phase=_text(item.get("phase")),
        parameters=json.loads(unpack(item["parameters"])),
        idempotency_key=_text(item.get("idempotency_key")),
    )


def job_state(item: Item) -> JobState:
    return JobState(JobStatus(str(item["status"])), _text(item.get("phase")), _text(item.get("failed_stage")))


def stage_of(item: Item) -> Stage:
    return Stage(
        job_id=str(item["job_id"]),
        stage=str(item["stage"]),
        created_at=int(item["created_at"]),
        expected=_number(item.get("expected")),
        done=int(item["done"]),
        failed=int(item["failed"]),
        late=int(item["late"]),
        done_weight=int(item["done_weight"]),
        progress=float(item["progress"]),
        watermark_at=_number(item.get("watermark_at")),
        completed_at=_number(item.get("completed_at")),
        closed_at=_number(item.get("closed_at")),
        is_new=False,
    )


def status_of(item: Item) -> StageStatus:
    completion: Any = item.get("completion")
    stage = stage_of(item)
    return StageStatus(
        job_id=stage.job_id,
        stage=stage.stage,
        expected=stage.expected,
        done=stage.done,
        failed=stage.failed,
        late=stage.late,
        watermark_at=stage.watermark_at,
        completion=None if completion is None else Completion(stage=stage.stage, **json.loads(completion)),
        done_weight=stage.done_weight,
        progress=stage.progress,
        created_at=stage.created_at,
        completed_at=stage.completed_at,
        closed_at=stage.closed_at,
    )


def known_of(item: Item) -> Known:
    return Known(AssetState(str(item["state"])), int(item.get("attempts", 0)), bool(item.get("late", 0)))


def asset_of(item: Item) -> AssetRecord:
    result = item.get("result")
    return AssetRecord(
        asset_id=str(item["sk"]),
        state=AssetState(str(item["state"])),
        weight=int(item.get("weight", 1)),
        late=bool(item.get("late", 0)),
        attempts=int(item.get("attempts", 0)),
        result=None if result is None else json.loads(unpack(result)),
        error=_text(item.get("error")),
        recorded_at=int(item["recorded_at"]),
    )


def conflict_of(item: Item) -> AnnouncementConflict:
    return AnnouncementConflict(
        job_id=str(item["job_id"]),
        stage=str(item["stage"]),
        expected=_number(item.get("expected")),
        announced=int(item["announced"]),
        recorded_at=int(item["recorded_at"]),
    )


def letter_of(item: Item) -> DeadLetter:
    return DeadLetter(
        dead_letter_id=int(item["dead_letter_id"]),
        job_id=str(item["job_id"]),
        queue=str(item["queue"]),
        stage=_text(item.get("stage")),
        topic=str(item["topic"]),
        event_id=str(item["event_id"]),
        body=unpack(item["body"]),
        error=str(item["error"]),
        attempts=int(item["attempts"]),
        created_at=int(item["created_at"]),
        replayed_at=_number(item.get("replayed_at")),
    )


def consumers_of(item: Item) -> dict[str, int]:
    """By queue, when it consumed the event last, also by a dead letter."""
    consumers: dict[str, int] = {}
    for name, value in item.items():
        if name.startswith((QUEUE_PREFIX, LETTER_PREFIX)):
            queue = name[len(QUEUE_PREFIX) :]
            consumers[queue] = max(int(value), consumers.get(queue, int(value)))
    return consumers


def _text(value: Value | None) -> str | None:
    return None if value is None else str(value)


def _number(value: Value | None) -> int | None:
    return None if value is None else int(value)
