"""A seekable file over bytes that are elsewhere. The latest of what was read is kept, and the longer it is read in one
go, the more is fetched at once: a look here and there costs little, and a whole video few requests.
"""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from reelwork.media.byte_source import ByteSource

BLOCK_BYTES: Final = 256 << 10
BLOCKS_AT_ONCE_MAX: Final = 16
BLOCKS_KEPT_MAX: Final = 96
"""24 MiB: enough that going back and forth between a video's tables, sound and pictures fetches nothing twice."""


class RangedFile(io.RawIOBase):
    """failure: what the source has raised. It is raised again by every later read: what FFmpeg makes of a read that
    failed may look like the end of the file.
    """

    def __init__(self, source: ByteSource) -> None:
        super().__init__()
        self.name = source.name
        self.failure: BaseException | None = None
        self._source = source
        self._size = source.size_bytes
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._next_in_row = -1
        self._at_once = 1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError(f"position {origin + offset} is before the beginning of the file")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Up to the end of a block."""
        number, start = divmod(self._position, BLOCK_BYTES)
        if self._position >= self._size:
            return 0
        target = memoryview(buffer).cast("B")
        part = memoryview(self._block(number))[start : start + len(target)]
        target[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
        else:
            self._fetch(number)
        return self._blocks[number]

    def _fetch(self, number: int) -> None:
        if self.failure is not None:
            raise self.failure
        self._at_once = min(2 * self._at_once, BLOCKS_AT_ONCE_MAX) if number == self._next_in_row else 1
        last = min(number + self._at_once, -(-self._size // BLOCK_BYTES))
        last = next((there for there in range(number, last) if there in self._blocks), last)
        start = number * BLOCK_BYTES
        try:
            data = memoryview(self._source.read_range(start, min(last * BLOCK_BYTES, self._size)))
        except BaseException as failure:
            self.failure = failure
            raise
        for position in range(0, len(data), BLOCK_BYTES):
            self._blocks[number + position // BLOCK_BYTES] = bytes(data[position : position + BLOCK_BYTES])
        self._next_in_row = last
        while len(self._blocks) > BLOCKS_KEPT_MAX:
            self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
