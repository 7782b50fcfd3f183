"""Which bytes a `Range` header asks for (RFC 9110, 14.2): one range, or all of them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

ONE_RANGE: Final = re.compile(r"\s*bytes\s*=\s*([0-9]{0,19})\s*-\s*([0-9]{0,19})\s*", re.ASCII | re.IGNORECASE)


class RangeNotSatisfiable(Exception):
    """The range begins behind the last byte."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """From `start` to before `end`, of `size` bytes."""

    start: int
    end: int
    size: int

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.end - 1}/{self.size}"

    def __len__(self) -> int:
        return self.end - self.start


def asked_range(header: str | None, size: int) -> ByteRange | None:
    """None where all bytes are to be sent: nothing is asked, several ranges are, or what no server understands.

    Raises RangeNotSatisfiable.
    """
    found = None if header is None else ONE_RANGE.fullmatch(header)
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size or (not found[1] and found[2].strip("0") == ""):
        raise RangeNotSatisfiable
    return ByteRange(start, end, size)
