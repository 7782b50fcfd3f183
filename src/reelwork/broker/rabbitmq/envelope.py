"""A message as RabbitMQ carries it: the body is the event alone, everything else stands in properties and headers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from reelwork.message import Message

PERSISTENT: Final = 2
SHORT_BYTES_MAX: Final = 255
APPLICATION: Final = "reelwork"


def properties_of(
    message: Message, *, attempts: int = 0, earlier: int = 0, traceparent: str | None = None
) -> Basic.Properties:
    """attempts: how often it was retried. earlier: how often it was handed out, as far as the server's own count, which
    begins anew with every publication, does not tell. traceparent: where somebody traces the job.
    """
    headers: dict[str, Any] = {"event_id": message.event_id, "job_id": message.job_id, "topic": message.topic}
    if message.is_replay:
        headers["is_replay"] = True
    if attempts:
        headers["attempts"] = attempts
    if earlier:
        headers["earlier_deliveries"] = earlier
    if traceparent is not None:
        headers["traceparent"] = traceparent
    return Basic.Properties(
        message_id=_short(message.event_id),
        message_type=_short(message.topic),
        content_type="application/json",
        app_id=APPLICATION,
        timestamp=datetime.now(UTC),
        delivery_mode=PERSISTENT,
        headers=headers,
    )


def message_of(delivered: DeliveredMessage) -> tuple[Message, int, int]:
    """The message, how often it was handed out, this time included, and how often it was retried.

    What somebody else has put there fails by itself, and alone.
    """
    headers: Mapping[str, Any] = delivered.header.properties.headers or {}
    message = Message(
        event_id=_text(headers, "event_id"),
        job_id=_text(headers, "job_id"),
        topic=_text(headers, "topic"),
        body=delivered.body.decode(errors="replace"),
        is_replay=headers.get("is_replay") is True,
    )
    deliveries = _count(headers, "earlier_deliveries") + _count(headers, "x-delivery-count") + 1
    return message, deliveries, _count(headers, "attempts")


def _short(text: str) -> str:
    """As much of it as such a field of the protocol holds; the whole is in the headers."""
    return text if len(text) <= SHORT_BYTES_MAX // 4 else text.encode()[:SHORT_BYTES_MAX].decode(errors="ignore")


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    return value if isinstance(value, str) else ""


def _count(headers: Mapping[str, Any], name: str) -> int:
    value = headers.get(name)
    return max(value, 0) if isinstance(value, int) else 0
