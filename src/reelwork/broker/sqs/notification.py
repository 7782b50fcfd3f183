"""What a bucket says into a queue when a segment was put there: it has no headers, so they are made of what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

from pydantic import ValidationError

from reelwork.events import SegmentUploaded
from reelwork.events.segment_key import segment_key_fault
from reelwork.events.stereo import CREATED
from reelwork.message import Message

TEST_EVENT: Final = "s3:TestEvent"


class Notification(NamedTuple):
    """messages: one for each record that tells of a segment. skipped: why there is none for another."""

    messages: list[Message]
    skipped: list[str]


def read_notification(body: str, topic: str) -> Notification | None:
    """None for what is no S3 event notification, or one of which all is broken that may be about segments.

    What is broken beside others is a message of its own, which fails without them.
    topic: what the queue takes. The event's id comes of bucket, key and sequencer, so copies are one.
    """
    told = _json_object(body)
    if topic != SegmentUploaded.topic or told is None:
        return None
    if told.get("Event") == TEST_EVENT:
        return Notification([], [TEST_EVENT])
    records = told.get("Records")
    if not isinstance(records, list):
        return None
    found = Notification([], [] if records else ["no records"])
    broken: list[Any] = []
    for record in records:
        reason = _skipped(record)
        if reason is not None:
            found.skipped.append(reason)
            continue
        try:
            event = SegmentUploaded.model_validate({"Records": [record]})
        except ValidationError:
            broken.append(record)
            continue
        found.messages.append(Message(str(event.event_id), event.job_id, topic, event.body()))
    if broken and not found.messages:
        return None
    if broken:
        found.messages.append(Message("", "", topic, json.dumps({"Records": broken})))
    return found


def _json_object(body: str) -> Mapping[str, Any] | None:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _skipped(record: Any) -> str | None:
    """Why a record is nothing to work on: it tells of something else than a new segment."""
    try:
        name, key = record["eventName"], unquote_plus(record["s3"]["object"]["key"])
    except (TypeError, KeyError, AttributeError):
        return None
    if not isinstance(name, str) or not name.startswith(CREATED):
        return f"{name!r:.80} of {key!r:.200}"
    return segment_key_fault(key)
