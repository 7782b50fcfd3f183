"""The form of a submission, read as it arrives: small fields into memory, the one file handed on piece by piece.

Starlette would spool the whole file to disk first. Everything around the file together is bounded, the file is not:
whoever takes it limits it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

FILE_FIELD: Final = "file"
FORM_BYTES_MAX: Final = 64 * 1024
IDLE_SECONDS_MAX: Final = 60.0


@dataclass(slots=True)
class _Part:
    """The part of the form that is arriving."""

    header_name: bytes = b""
    header_value: bytes = b""
    disposition: bytes = b""
    name: str = ""
    is_file: bool = False
    value: bytearray = field(default_factory=bytearray)


class MultipartForm:
    """body: ends with an empty chunk, as a request's does. Every refusal is an HTTPException with its reason."""

    def __init__(
        self, boundary: bytes, body: AsyncIterator[bytes], *, idle_seconds_max: float = IDLE_SECONDS_MAX
    ) -> None:
        self.fields: dict[str, str] = {}
        self._body = body
        self._idle_seconds_max = idle_seconds_max
        self._part = _Part()
        self._file_chunks: list[bytes] = []
        self._has_file = False
        self._is_whole = False
        self._bytes_around_file = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._read_header_name,
                    "on_header_value": self._read_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._read_value,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _refused(str(error)) from error

    @classmethod
    def of(cls, request: Request) -> MultipartForm:
        """Raises a 415 for a body that is no form."""
        kind, options = parse_options_header(request.headers.get("Content-Type"))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise HTTPException(415, f"send the video as multipart/form-data, in the field {FILE_FIELD!r}")
        return cls(options[b"boundary"], request.stream())

    async def find_file(self) -> None:
        """Reads up to the file; the fields before it are known then."""
        while not self._has_file:
            if self._is_whole:
                raise _refused(f"the form holds no file; send the video in the field {FILE_FIELD!r}")
            await self._read()

    async def file_chunks(self) -> AsyncIterator[bytes]:
        """The file piece by piece, and after the last of them the rest of the form: then all fields are known."""
        while True:
            chunks, self._file_chunks = self._file_chunks, []
            for chunk in chunks:
                yield chunk
            if self._is_whole:
                return
            await self._read()

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._idle_seconds_max):
                data = await anext(self._body, b"")
        except TimeoutError:
            raise HTTPException(408, f"nothing of the upload came for {self._idle_seconds_max:g} s") from None
        if not data:
            raise _refused("the upload broke off before its end")
        self._bytes_around_file += len(data)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _refused(f"the body is not a well-formed multipart form ({error})") from error
        if self._bytes_around_file > FORM_BYTES_MAX:
            raise _refused(f"the form holds more than {FORM_BYTES_MAX} bytes besides the file")

    def _begin_part(self) -> None:
        self._part = _Part()

    def _read_header_name(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]

    def _read_header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]

    def _end_header(self) -> None:
        if self._part.header_name.lower() == b"content-disposition":
            self._part.disposition = self._part.header_value
        self._part.header_name = self._part.header_value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._part.disposition)
        name = _text(options.get(b"name", b""))
        if not name:
            raise _refused("a part of the form has no name")
        self._part.name = name
        self._part.is_file = name == FILE_FIELD or b"filename" in options
        if self._part.is_file and name != FILE_FIELD:
            raise _refused(f"send the video in the field {FILE_FIELD!r}, not in {name!r}")
        if name in self.fields or (self._part.is_file and self._has_file):
            raise _refused(f"the form holds the field {name!r} twice")
        self._has_file = self._has_file or self._part.is_file

    def _read_value(self, data: bytes, start: int, end: int) -> None:
        if self._part.is_file:
            self._file_chunks.append(data[start:end])
            self._bytes_around_file -= end - start
        else:
            self._part.value += data[start:end]

    def _end_part(self) -> None:
        if not self._part.is_file:
            self.fields[self._part.name] = _text(bytes(self._part.value))

    def _end(self) -> None:
        self._is_whole = True


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _refused("the fields of the form must be text in UTF-8") from None


def _refused(reason: str) -> HTTPException:
    return HTTPException(400, reason)
