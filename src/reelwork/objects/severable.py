"""Chunks that can be cut off, so that whoever takes them gives up instead of waiting for the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class Severed(Exception):
    """There will be no further chunk."""


class SeverableChunks:
    """For one consumer."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._next: asyncio.Future[bytes] | None = None
        self._is_severed = False

    def __aiter__(self) -> SeverableChunks:
        return self

    async def __anext__(self) -> bytes:
        if self._is_severed:
            raise Severed
        self._next = asyncio.ensure_future(anext(self._chunks))
        try:
            return await self._next
        except asyncio.CancelledError:
            if self._is_severed:
                raise Severed from None
            raise

    def sever(self) -> None:
        """The consumer gets Severed, now or when it asks for the next."""
        self._is_severed = True
        if self._next is not None:
            self._next.cancel()
