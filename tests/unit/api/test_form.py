"""The form is read in constant memory, whatever the size of its file and wherever the pieces are cut."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from fastapi import HTTPException

from reelwork.api.form import MultipartForm

HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
TAIL = b"\r\n--b\r\ncontent-disposition:form-data; name=max_frames\r\n\r\n7\r\n--b--\r\n"


async def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 100_000])
def test_the_pieces_of_a_form_do_not_matter(size: int) -> None:
    content = b"\r\n--c\r\n--\r\n" * 50 + bytes(range(256))

    async def read() -> tuple[bytes, dict[str, str]]:
        form = MultipartForm(b"b", in_pieces(HEAD + content + TAIL, size))
        file = await form.find_file()
        return b"".join([chunk async for chunk in form.file_chunks(file)]), form.fields

    assert asyncio.run(read()) == (content, {"max_frames": "7"})


def test_a_large_file_takes_no_memory() -> None:
    megabyte = bytes(1 << 20)

    async def body() -> AsyncIterator[bytes]:
        yield HEAD
        for _ in range(100):
            yield megabyte
        yield TAIL

    async def read() -> int:
        form = MultipartForm(b"b", body())
        file = await form.find_file()
        return sum([len(chunk) async for chunk in form.file_chunks(file)])

    tracemalloc.start()
    try:
        assert asyncio.run(read()) == 100 << 20
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_client_that_stands_still_is_given_up() -> None:
    async def read() -> None:
        silence: asyncio.Queue[bytes] = asyncio.Queue()

        async def body() -> AsyncIterator[bytes]:
            yield await silence.get()

        await MultipartForm(b"b", body(), idle_seconds_max=0).find_file()

    with pytest.raises(HTTPException, match="nothing of the upload came") as refusal:
        asyncio.run(read())
    assert refusal.value.status_code == 408
