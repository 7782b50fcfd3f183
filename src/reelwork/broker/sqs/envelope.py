"""A message as SQS carries it: the body is the event alone, everything else stands in message attributes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from reelwork.message import Message

if TYPE_CHECKING:
    from types_aiobotocore_sqs.type_defs import (
        MessageAttributeValueOutputTypeDef,
        MessageAttributeValueTypeDef,
        MessageTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

MESSAGE_BYTES_MAX: Final = 1_048_576
"""Of one message with its attributes, and of all messages of a batch together."""
NOT_CARRIED: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ROOM_BYTES: Final = 256
"""Kept free in a message that is sent first, for what it carries besides when it is tried again."""
TEXT: Final = "String"
NUMBER: Final = "Number"


class Received(NamedTuple):
    """deliveries: how often it was handed out, this time included, as far as anybody may have died of it. is_ours:
    whether Reelwork has sent it.
    """

    receipt: str
    message: Message
    deliveries: int
    attempts: int
    is_ours: bool


def entry_of(
    message: Message, *, attempts: int = 0, earlier: int = 0, traceparent: str | None = None, delay_seconds: int = 0
) -> SendMessageBatchRequestEntryTypeDef:
    """An entry of a batch, which gives it its id. attempts: how often it was retried. earlier: how often it was handed
    out, as far as the count of SQS, which begins anew with every copy, does not tell.

    An event that SQS cannot carry goes without its body, which then says why: its consumer makes a dead letter of it,
    and those behind it in the outbox are not kept waiting for ever.
    """
    texts = {"event_id": message.event_id, "job_id": message.job_id, "topic": message.topic, "traceparent": traceparent}
    texts["is_replay"] = "true" if message.is_replay else None
    numbers = {"attempts": attempts, "earlier_deliveries": earlier}
    attributes: dict[str, MessageAttributeValueTypeDef] = {
        name: {"DataType": TEXT, "StringValue": NOT_CARRIED.sub("\ufffd", text)} for name, text in texts.items() if text
    }
    for name, number in numbers.items():
        if number:
            attributes[name] = {"DataType": NUMBER, "StringValue": str(number)}
    entry: SendMessageBatchRequestEntryTypeDef = {
        "Id": "",
        "MessageBody": NOT_CARRIED.sub(_escaped, message.body),
        "MessageAttributes": attributes,
        "DelaySeconds": delay_seconds,
    }
    size = size_of(entry)
    if size > MESSAGE_BYTES_MAX - (0 if earlier else ROOM_BYTES):
        error = f"this event has {size} bytes with its attributes, and SQS carries at most {MESSAGE_BYTES_MAX}"
        entry["MessageBody"] = json.dumps({"error": f"{error}: let it carry less, or use another broker"})
    return entry


def size_of(entry: SendMessageBatchRequestEntryTypeDef) -> int:
    """Bytes, as SQS counts them."""
    size = len(entry["MessageBody"].encode())
    for name, value in entry.get("MessageAttributes", {}).items():
        size += len(name) + len(value["DataType"]) + len(value.get("StringValue", "").encode())
    return size


def received(given: MessageTypeDef) -> Received:
    """What somebody else has put there fails by itself, and alone."""
    attributes = given.get("MessageAttributes", {})
    message = Message(
        event_id=_text(attributes, "event_id"),
        job_id=_text(attributes, "job_id"),
        topic=_text(attributes, "topic"),
        body=given.get("Body", ""),
        is_replay=_text(attributes, "is_replay") == "true",
    )
    told = given.get("Attributes", {}).get("ApproximateReceiveCount", "1")
    deliveries = _count(attributes, "earlier_deliveries") + (int(told) if told.isdecimal() else 1)
    attempts = _count(attributes, "attempts")
    return Received(given["ReceiptHandle"], message, deliveries, attempts, bool(message.topic))


def _escaped(found: re.Match[str]) -> str:
    """As JSON writes it; bodies are JSON, and such a sign can only stand in a string of it."""
    return f"\\u{ord(found.group()):04x}"


def _text(attributes: Mapping[str, MessageAttributeValueOutputTypeDef], name: str) -> str:
    return attributes[name].get("StringValue", "") if name in attributes else ""


def _count(attributes: Mapping[str, MessageAttributeValueOutputTypeDef], name: str) -> int:
    told = _text(attributes, name)
    return int(told) if told.isascii() and told.isdecimal() else 0
