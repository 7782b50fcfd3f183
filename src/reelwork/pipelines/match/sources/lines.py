"""Lines of a text file that may be broken, and CSV records of them: one that is broken never takes others with it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

LINE_BYTES_MAX: Final = 1 << 20
RECORD_LINES_MAX: Final = 100
"""A quoted field may hold so many line ends; more, and its closing quote is taken to be missing."""

DELIMITERS: Final = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """Why a line is no text."""

    reason: str


Line = tuple[int, str | BrokenLine]


def text_lines(data: bytes) -> Iterator[Line]:
    """Every line of UTF-8 text, with or without byte order mark, by its number from 1; without its end."""
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if len(line) > LINE_BYTES_MAX:
            yield number, BrokenLine(f"the line is longer than {LINE_BYTES_MAX} bytes")
            continue
        try:
            yield number, line.decode("utf-8")
        except UnicodeDecodeError as error:
            yield number, BrokenLine(f"the line is not UTF-8 text (byte {error.start + 1}); save the file as UTF-8")


def csv_records(lines: Iterator[Line]) -> Iterator[tuple[int, Mapping[str, str] | str]]:
    """Records (RFC 4180) by the number of their first line, as their columns by name, or as what is wrong with them.

    The first line names the columns and shows what separates them.
    """
    given = list(lines)
    position = next((at for at, (_, text) in enumerate(given) if isinstance(text, BrokenLine) or text.strip()), None)
    if position is None:
        return
    number, heading = given[position]
    if isinstance(heading, BrokenLine):
        yield number, heading.reason
        return
    delimiter = max(DELIMITERS, key=heading.count)
    columns = _fields(heading, delimiter)
    if isinstance(columns, str):
        yield number, f"the names of the columns cannot be read: {columns}"
        return
    position += 1
    while position < len(given):
        number, text = given[position]
        if isinstance(text, BrokenLine):
            yield number, text.reason
        elif text.strip():
            whole, lines_read = _whole_record(given, position, text)
            fields = _fields(whole, delimiter)
            if isinstance(fields, str):
                yield number, fields
            elif len(fields) != len(columns):
                yield number, f"the line has {len(fields)} fields, and the heading {len(columns)}"
            else:
                position += lines_read - 1
                yield number, dict(zip(columns, fields, strict=True))
        position += 1


def _whole_record(given: list[Line], position: int, text: str) -> tuple[str, int]:
    """A line with those behind it that a quoted field reaches into; alone where the quote is never closed."""
    whole, quotes = [text], text.count('"')
    for _, following in given[position + 1 : position + RECORD_LINES_MAX]:
        if quotes % 2 == 0 or isinstance(following, BrokenLine):
            break
        whole.append(following)
        quotes += following.count('"')
    return ("\n".join(whole), len(whole)) if quotes % 2 == 0 else (text, 1)


def _fields(record: str, delimiter: str) -> list[str] | str:
    try:
        return next(csv.reader([record], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration) as error:
        return f"this is not CSV: {error}"
