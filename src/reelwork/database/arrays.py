"""Python lists as PostgreSQL array literals: one string is far cheaper to send than a list that the driver adapts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def array_literal(values: Sequence[Any]) -> str:
    """`{"a","b"}` of texts, numbers, booleans and None; the statement says of which type, as in `$1::text[]`."""
    try:
        joined = '","'.join(values)
    except TypeError:
        return "{" + ",".join(map(_element, values)) + "}"
    if "\\" in joined or joined.count('"') != 2 * (len(values) - 1):
        return "{" + ",".join(map(_element, values)) + "}"
    return f'{{"{joined}"}}' if values else "{}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
