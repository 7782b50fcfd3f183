"""Items as plain dictionaries, as DynamoDB writes them, and how large they are by its rules. None is absent."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Final

Value = str | int | float | bytes
Item = dict[str, Value]
Key = tuple[str, str]

ITEM_BYTES_MAX: Final = 400 * 1024
PLAIN_TEXT_MAX: Final = 2_048
"""Longer texts are compressed: what is written is paid by the kilobyte."""
NUMBER_BYTES: Final = 11
"""Of a number with up to 20 digits, at most."""
UTF8_MAX: Final = 4


def encode(item: Mapping[str, Value | None]) -> dict[str, Any]:
    return {name: _encode(value) for name, value in item.items() if value is not None}


def _encode(value: Value) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bytes):
        return {"B": value}
    return {"N": repr(value)}


def decode(raw: Mapping[str, Any]) -> Item:
    return {name: _decode(value) for name, value in raw.items()}


def _decode(value: Mapping[str, Any]) -> Value:
    ((kind, content),) = value.items()
    if kind == "N":
        try:
            return int(content)
        except ValueError:
            return float(content)
    if kind == "B":
        return bytes(content)
    text: str = content
    return text


def size_of(item: Mapping[str, Value | None]) -> int:
    """Bytes, as DynamoDB counts them: names and values."""
    size = 0
    for name, value in item.items():
        if value is None:
            continue
        size += len(name.encode())
        if isinstance(value, str):
            size += len(value) if value.isascii() else len(value.encode())
        else:
            size += len(value) if isinstance(value, bytes) else NUMBER_BYTES
    return size


def pack(text: str) -> Value:
    """As it is where it is short, else compressed."""
    return text if len(text) <= PLAIN_TEXT_MAX else zlib.compress(text.encode())


def unpack(value: Value) -> str:
    return zlib.decompress(value).decode() if isinstance(value, bytes) else str(value)
