"""What was wrong with the sources of a job while the rest went on: kept for its account."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from reelwork.errors import ObjectNotFound
from reelwork.objects import ObjectStore
from reelwork.objects.keys import notes_key

NOTES_KEPT_MAX: Final = 100


def store_notes(objects: ObjectStore, job_id: str, kind: str, notes: Sequence[str]) -> None:
    """The first of them in their own words, all by number."""
    document = {"count": len(notes), "notes": notes[:NOTES_KEPT_MAX]}
    objects.put(notes_key(job_id, kind), json.dumps(document, ensure_ascii=False).encode())


def notes_of(objects: ObjectStore, job_id: str, kind: str) -> dict[str, Any]:
    """`{"count", "notes"}`."""
    try:
        found: dict[str, Any] = json.loads(objects.get(notes_key(job_id, kind)))
    except ObjectNotFound:
        return {"count": 0, "notes": []}
    return found
