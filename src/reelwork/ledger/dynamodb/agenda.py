"""Where jobs and stages stand in the indexes: what is to be done about them, and when to look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reelwork.ledger.dynamodb import keys
from reelwork.ledger.dynamodb.items import Value
from reelwork.ledger.records import JobStatus

NOWHERE: Final[Mapping[str, Any]] = {"listing": None, "listing_key": None, "agenda": None, "agenda_key": None}


def is_open(item: Mapping[str, Value | None]) -> bool:
    return "completed_at" not in item and "closed_at" not in item


def stage_places(item: Mapping[str, Value | None]) -> Mapping[str, Any]:
    """An open stage is listed. It is looked at when its watermark was due when that was written; while it has news, the
    index is left alone, which is why it may come too early, and never too late.
    """
    if item.get("completed_at") is not None or item.get("closed_at") is not None:
        return NOWHERE
    place: dict[str, Any] = {
        "listing": keys.OPEN_STAGES,
        "listing_key": keys.stage_order(str(item["job_id"]), str(item["stage"])),
        "agenda": None,
        "agenda_key": None,
    }
    watermark_at = item.get("watermark_at")
    if watermark_at is not None:
        due = keys.number(max(int(watermark_at), 0))
        place |= {"agenda": keys.DUE_STAGES, "agenda_key": min(due, str(item.get("agenda_key") or due))}
    return place


def job_agenda(job_id: str, status: JobStatus, now_ms: int) -> Mapping[str, str]:
    if not status.is_terminal:
        return {"agenda": keys.jobs_alive(status), "agenda_key": keys.job_order(job_id)}
    return {"agenda": keys.jobs_unswept(status), "agenda_key": keys.number(max(now_ms, 0))}
