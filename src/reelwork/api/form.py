"""The form of a submission, read as it arrives: small fields into memory, files handed on piece by piece.

Starlette would spool whole files to disk first. Everything around the files together is bounded, the files are not:
whoever takes them limits them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Final

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

FILE_FIELD: Final = "file"
FORM_BYTES_MAX: Final = 64 * 1024
IDLE_SECONDS_MAX: Final = 60.0


@dataclass(slots=True)
class FormFile:
    """A file of the form. name: as its sender calls it. chunks: what has come of it and was not handed on yet."""

    field_name: str
    name: str
    chunks: list[bytes] = field(default_factory=list)
    is_whole: bool = False


@dataclass(slots=True)
class _Part:
    """The part of the form that is arriving."""

    header_name: bytes = b""
    header_value: bytes = b""
    disposition: bytes = b""
    name: str = ""
    file: FormFile | None = None
    value: bytearray = field(default_factory=bytearray)


class MultipartForm:
    """body: ends with an empty chunk, as a request's does. many: the fields that may hold any number of files, where
    the form has no video of its own. Every refusal is an HTTPException with its reason.
    """

    def __init__(
        self,
        boundary: bytes,
        body: AsyncIterator[bytes],
        *,
        many: Collection[str] = (),
        idle_seconds_max: float = IDLE_SECONDS_MAX,
    ) -> None:
        self.fields: dict[str, str] = {}
        self._many = many
        self._body = body
        self._idle_seconds_max = idle_seconds_max
        self._part = _Part()
        self._files: deque[FormFile] = deque()
        self._file_fields: set[str] = set()
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
    def of(cls, request: Request, *, many: Collection[str] = ()) -> MultipartForm:
        """Raises a 415 for a body that is no form."""
        kind, options = parse_options_header(request.headers.get("Content-Type"))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise HTTPException(415, f"send the video as multipart/form-data, in the field {FILE_FIELD!r}")
        return cls(options[b"boundary"], request.stream(), many=many)

    async def find_file(self) -> FormFile:
        """Reads up to the first file; the fields before it are known then."""
        file = await self.next_file()
        if file is None:
            raise _refused(f"the form holds no file; send the video in the field {FILE_FIELD!r}")
        return file

    async def next_file(self) -> FormFile | None:
        """Reads up to the next file, once the one before was read. None where there is none: all fields are known."""
        while not self._files:
            if self._is_whole:
                return None
            await self._read()
        return self._files.popleft()

    async def file_chunks(self, file: FormFile) -> AsyncIterator[bytes]:
        """The only file piece by piece, and after the last of them the rest of the form: then all fields are known."""
        async for chunk in self.chunks_of(file):
            yield chunk
        await self.next_file()

    async def chunks_of(self, file: FormFile) -> AsyncIterator[bytes]:
        """A file piece by piece."""
        while True:
            chunks, file.chunks = file.chunks, []
            for chunk in chunks:
                yield chunk
            if file.is_whole:
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
        is_file = name == FILE_FIELD or b"filename" in options
        if is_file and name != FILE_FIELD and name not in self._many:
            raise _refused(f"send the video in the field {FILE_FIELD!r}, not in {name!r}")
        if name in self.fields or (FILE_FIELD in self._file_fields and is_file):
            raise _refused(f"the form holds the field {name!r} twice")
        if is_file and name == FILE_FIELD and self._file_fields:
            raise _refused(
                f"the form holds files in {min(self._file_fields)!r}; the field {FILE_FIELD!r} is for one video"
            )
        if is_file:
            self._part.file = FormFile(name, _text(options.get(b"filename", b"")))
            self._file_fields.add(name)
            self._files.append(self._part.file)

    def _read_value(self, data: bytes, start: int, end: int) -> None:
        if self._part.file is not None:
            self._part.file.chunks.append(data[start:end])
            self._bytes_around_file -= end - start
        else:
            self._part.value += data[start:end]

    def _end_part(self) -> None:
        if self._part.file is not None:
            self._part.file.is_whole = True
        else:
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
