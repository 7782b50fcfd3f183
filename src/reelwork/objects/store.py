"""Files of jobs, by key: a folder, memory, or S3, behind one client (obstore). A write is whole or not there.

What a contract names is written once: `create` refuses to replace, so that the first writer wins.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import IO, Final, cast

import obstore
from obstore.exceptions import AlreadyExistsError

from reelwork.errors import ObjectNotFound
from reelwork.objects.engine import Engine
from reelwork.objects.failures import translated
from reelwork.objects.part_writer import PART_BYTES, PARTS_AT_ONCE, PartWriter
from reelwork.objects.severable import SeverableChunks
from reelwork.objects.stored_object import StoredObject

CHUNK_BYTES: Final = 1 << 20
GIVING_UP_SECONDS_MAX: Final = 5.0
IN_ONE_REQUEST_BYTES_MAX: Final = 16 << 20


class ObjectStore:
    """Whole objects by key. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._client_of = engine.client_of

    @property
    def shown(self) -> str:
        """Where it is, for people."""
        return self._engine.shown

    def bucket_of(self, key: str) -> str:
        """The bucket of the key, as its notifications name it."""
        return self._engine.bucket_of(key)

    def put(self, key: str, data: bytes) -> None:
        """Writes or replaces an object."""
        with translated(key):
            obstore.put(self._client_of(key), key, data)
        self._engine.settle(key)

    def create(self, key: str, data: bytes) -> None:
        """Writes an object that is not there yet. Raises ObjectExists."""
        self._engine.verify()
        with translated(key):
            obstore.put(self._client_of(key), key, data, mode="create", use_multipart=False)
        self._engine.settle(key)

    def promote(self, source: str, key: str) -> bool:
        """Gives a finished object its final key, unless an equal one has it: then that is adopted, and False returned.

        One that differs is left over from something else, and is replaced.
        """
        with translated(source):
            try:
                self._engine.copy_new(source, key)
            except AlreadyExistsError:
                if self._are_equal(source, key):
                    return False
                obstore.copy(self._client_of(key), source, key, overwrite=True)
        self._engine.settle(key)
        return True

    @contextlib.contextmanager
    def staged(self, key: str) -> Iterator[Path]:
        """A path for a file that has to be a file while it is made; it becomes the object when the block ends well.

        Where objects are files it lies among them, and is not copied; else it is uploaded in constant memory.
        """
        with self._engine.staged(key) as path:
            yield path
        self._engine.settle(key)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Writes an object from chunks in constant memory; nothing is left when they raise, or it is cancelled."""
        severable = SeverableChunks(chunks)
        with translated(key):
            putting = asyncio.ensure_future(
                obstore.put_async(
                    self._client_of(key),
                    key,
                    severable,
                    use_multipart=True,
                    chunk_size=PART_BYTES,
                    max_concurrency=PARTS_AT_ONCE,
                )
            )
            putting.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # it has been heard of
            try:
                await asyncio.shield(putting)
            except asyncio.CancelledError:
                severable.sever()  # left alone, obstore would leave the parts that are there already
                await asyncio.wait({putting}, timeout=GIVING_UP_SECONDS_MAX)
                raise
        await asyncio.to_thread(self._engine.settle, key)

    @contextlib.contextmanager
    def writer(self, key: str) -> Iterator[IO[bytes]]:
        """A file to write an object to in constant memory; the object appears when the block ends well, else not at
        all.
        """
        writer = PartWriter(self._client_of(key), key)
        try:
            yield cast(IO[bytes], writer)
            writer.finish()
        finally:
            writer.drop()
        self._engine.settle(key)

    def get(self, key: str) -> bytes:
        """Raises ObjectNotFound."""
        with translated(key):
            got = obstore.get(self._client_of(key), key)
            if not self._engine.is_remote or got.meta["size"] <= IN_ONE_REQUEST_BYTES_MAX:
                return bytes(got.bytes())
        return b"".join(self.chunks(key))

    def stored(self, key: str) -> StoredObject:
        """An object to be read in parts, by its key. Raises ObjectNotFound."""
        return StoredObject.opened(self._client_of(key), key)

    def chunks(self, key: str) -> Iterator[bytes]:
        """An object in pieces. Raises ObjectNotFound before the first."""
        if self._engine.is_remote:
            stored = self.stored(key)
            return stored.chunks(0, stored.size_bytes)
        with translated(key):
            stream = obstore.get(self._client_of(key), key).stream(min_chunk_size=CHUNK_BYTES)
        return (bytes(chunk) for chunk in stream)

    def readable(self, key: str) -> Path | StoredObject:
        """A video, as the media room reads it: its file in a folder store, else only the parts that are asked for.

        Raises ObjectNotFound.
        """
        path = self._engine.path(key)
        if path is None:
            return self.stored(key)
        if not path.is_file():
            raise ObjectNotFound(f"there is no object {key}")
        return path

    def size(self, key: str) -> int:
        """Bytes. Raises ObjectNotFound."""
        with translated(key):
            return int(obstore.head(self._client_of(key), key)["size"])

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except ObjectNotFound:
            return False
        return True

    def link(self, key: str, *, seconds: int) -> str | None:
        """An address from which anyone can read the object for so long; None where the store gives none."""
        return self._engine.link(key, seconds)

    def ping(self) -> None:
        """Raises StoreUnavailable when nothing can be stored here."""
        self._engine.ping()

    def verify(self) -> None:
        """Tries whether the store keeps what `create` and `promote` promise, once.

        Raises ConfigurationError where it does not, or refuses us; StoreUnavailable.
        """
        self._engine.verify()

    def keys(self, prefix: str, *, before_ms: int | None = None) -> Iterator[str]:
        """Of all objects below the prefix; with `before_ms` (epoch ms), of those that were written before."""
        with translated(prefix):
            for meta in self._engine.listed(prefix):
                if before_ms is None or meta["last_modified"].timestamp() * 1000 < before_ms:
                    yield meta["path"]

    def remove_cut_off(self, *, before_ms: int) -> int:
        """Removes what writers that were killed left half written before then (epoch ms); returns how many files.

        S3 does so by itself, by a rule for unfinished uploads.
        """
        return self._engine.remove_cut_off(before_ms)

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; one that is not there is no error."""
        named = list(keys)
        if named:
            with translated(named[0]):
                self._engine.delete(named)

    def _are_equal(self, first: str, second: str) -> bool:
        one, other = self.stored(first), self.stored(second)
        if (size := one.size_bytes) != other.size_bytes:
            return False
        return all(part == same for part, same in zip(one.chunks(0, size), other.chunks(0, size), strict=True))
