"""A message as RabbitMQ carries it: the body is the event alone, everything else stands in its properties.

They are put together here: the library's way, a property at a time by its type, costs more than all else in publishing.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from typing import Any, Final

from aiormq.abc import DeliveredMessage
from pamqp import encode
from pamqp.commands import Basic

from reelwork.message import Message

SHORT_BYTES_MAX: Final = 255
FLAGS: Final = Basic.Properties.flags
IN_EVERY: Final = (
    "content_type",
    "delivery_mode",
    "correlation_id",
    "message_id",
    "timestamp",
    "message_type",
    "app_id",
)
FLAGS_OF_EVERY: Final = sum(FLAGS[name] for name in IN_EVERY)
APPLICATION: Final = encode.short_string("reelwork")
CONTENT_TYPE: Final = encode.short_string("application/json")
PERSISTENT: Final = encode.octet(2)


def properties_of(
    message: Message, *, attempts: int = 0, earlier: int = 0, traceparent: str | None = None
) -> tuple[str, bytes]:
    """The message id, and the properties as they are sent: `correlation_id` is the job, `type` the topic.

    attempts: how often it was retried. earlier: how often it was handed out, as far as the server's own count, which
    begins anew with every publication, does not tell. traceparent: where somebody traces the job.
    """
    headers: dict[str, Any] = {}
    short = {}
    for name in ("event_id", "job_id", "topic"):
        text = getattr(message, name)
        short[name] = _short(text)
        if short[name] != text:
            headers[name] = text
    if message.is_replay:
        headers["is_replay"] = True
    if attempts:
        headers["attempts"] = attempts
    if earlier:
        headers["earlier_deliveries"] = earlier
    if traceparent is not None:
        headers["traceparent"] = traceparent
    flags = FLAGS_OF_EVERY | FLAGS["headers"] if headers else FLAGS_OF_EVERY
    parts = (  # in the order of the protocol
        struct.pack(">H", flags),
        CONTENT_TYPE,
        encode.field_table(headers) if headers else b"",
        PERSISTENT,
        _string(short["job_id"]),
        _string(short["event_id"]),
        struct.pack(">Q", int(time.time())),
        _string(short["topic"]),
        APPLICATION,
    )
    return short["event_id"], b"".join(parts)


def message_of(delivered: DeliveredMessage) -> tuple[Message, int, int]:
    """The message, how often it was handed out, this time included, and how often it was retried.

    What somebody else has put there fails by itself, and alone.
    """
    properties = delivered.header.properties
    headers: Mapping[str, Any] = properties.headers or {}
    message = Message(
        event_id=_text(headers.get("event_id", properties.message_id)),
        job_id=_text(headers.get("job_id", properties.correlation_id)),
        topic=_text(headers.get("topic", properties.message_type)),
        body=delivered.body.decode(errors="replace"),
        is_replay=headers.get("is_replay") is True,
    )
    deliveries = _count(headers, "earlier_deliveries") + _count(headers, "x-delivery-count") + 1
    return message, deliveries, _count(headers, "attempts")


def _short(text: str) -> str:
    """As much of it as such a property holds; the whole is in the headers then."""
    return text if len(text) <= SHORT_BYTES_MAX // 4 else text.encode()[:SHORT_BYTES_MAX].decode(errors="ignore")


def _string(text: str) -> bytes:
    encoded = text.encode()
    return bytes((len(encoded),)) + encoded


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(headers: Mapping[str, Any], name: str) -> int:
    value = headers.get(name)
    return max(value, 0) if isinstance(value, int) else 0
