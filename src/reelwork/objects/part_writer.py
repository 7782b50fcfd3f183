"""A file that is written away as an object while it is being written, in constant memory.

What fits into one part goes in one request; more of it goes part by part, by a thread of its own.
"""

from __future__ import annotations

import io
import queue
from collections.abc import Iterator
from concurrent.futures import Future
from threading import Thread
from typing import Any, Final

import obstore

from reelwork.objects.failures import translated

PART_BYTES: Final = 8 << 20
"""An upload has 10,000 parts at most, so an object 80 GiB."""

PARTS_AT_ONCE: Final = 2
LOOK_SECONDS: Final = 0.2


class PartWriter(io.RawIOBase):
    """`finish` makes the object, `drop` leaves nothing of it. StoreUnavailable where the store does not take it."""

    def __init__(self, client: Any, key: str) -> None:
        super().__init__()
        self._client = client
        self._key = key
        self._buffer = bytearray()
        self._parts: queue.Queue[bytes | None] = queue.Queue(maxsize=1)
        self._uploaded: Future[None] = Future()
        self._thread: Thread | None = None
        self._is_dropped = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            self._hand_over(bytes(memoryview(self._buffer)[:PART_BYTES]))
            del self._buffer[:PART_BYTES]
        return memoryview(data).nbytes

    def finish(self) -> None:
        if self._thread is None:
            with translated(self._key):
                obstore.put(self._client, self._key, bytes(self._buffer), use_multipart=False)
            return
        if self._buffer:
            self._hand_over(bytes(self._buffer))
        self._hand_over(None)
        self._thread.join()
        self._uploaded.result()

    def drop(self) -> None:
        if self._thread is not None:
            self._is_dropped = True
            self._thread.join()

    def _hand_over(self, part: bytes | None) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._upload, name="reelwork-upload", daemon=True)
            self._thread.start()
        while True:
            try:
                self._parts.put(part, timeout=LOOK_SECONDS)
                return
            except queue.Full:
                if self._uploaded.done():  # it cannot be done well before its last part has come
                    self._uploaded.result()

    def _upload(self) -> None:
        try:
            with translated(self._key):
                obstore.put(
                    self._client,
                    self._key,
                    self._coming(),
                    use_multipart=True,
                    chunk_size=PART_BYTES,
                    max_concurrency=PARTS_AT_ONCE,
                )
        except BaseException as error:
            self._uploaded.set_exception(error)
        else:
            self._uploaded.set_result(None)

    def _coming(self) -> Iterator[bytes]:
        while True:
            try:
                part = self._parts.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if self._is_dropped:
                    raise _Dropped from None
                continue
            if self._is_dropped:
                raise _Dropped
            if part is None:
                return
            yield part


class _Dropped(Exception):
    """Makes obstore give an upload up."""
