"""Files of jobs, by key: a folder, or memory, behind one client (obstore). A write is whole or not there.

What a contract names is written once: `create` refuses to replace, so that the first writer wins.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore

from reelwork.errors import ConfigurationError, ObjectExists, ObjectNotFound, StoreUnavailable

CHUNK_BYTES: Final = 1 << 20
STAGED_MARK: Final = "#"  # in the names of files that obstore has not finished; no key of ours has it


def open_objects(url: str) -> ObjectStore:
    """The store at `file:///folder` or `memory://`.

    Raises ConfigurationError for any other URL or an unusable folder.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return ObjectStore(MemoryStore(), folder=None)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path:
        raise ConfigurationError(f"object store {url!r} is not supported yet; use file:///absolute/folder or memory://")
    folder = Path(unquote(parts.path))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return ObjectStore(LocalStore(folder), folder=folder)
    except (OSError, BaseError) as error:
        raise ConfigurationError(f"cannot use the object folder {folder}: {error}") from error


class ObjectStore:
    """Whole objects by key. Thread-safe."""

    def __init__(self, store: Any, *, folder: Path | None) -> None:
        self._store = store
        self._folder = folder

    def put(self, key: str, data: bytes) -> None:
        """Writes or replaces an object."""
        with _translated(key):
            obstore.put(self._store, key, data)
        self._sync(key)

    def create(self, key: str, data: bytes) -> None:
        """Writes an object that is not there yet. Raises ObjectExists."""
        with _translated(key):
            obstore.put(self._store, key, data, mode="create")
        self._sync(key)

    def promote(self, source: str, key: str) -> bool:
        """Gives a finished object its final key, unless an equal one has it: then that is adopted, and False returned.

        One that differs is left over from something else, and is replaced.
        """
        with _translated(key):
            try:
                obstore.copy(self._store, source, key, overwrite=False)
            except AlreadyExistsError:
                if self._are_equal(source, key):
                    return False
                obstore.copy(self._store, source, key, overwrite=True)
        self._sync(key)
        return True

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Writes an object from chunks in constant memory; nothing is left when the chunks raise."""
        with _translated(key):
            await obstore.put_async(self._store, key, chunks, use_multipart=True)
        await asyncio.to_thread(self._sync, key)

    @contextlib.contextmanager
    def writer(self, key: str) -> Iterator[IO[bytes]]:
        """A file to write an object to in constant memory; the object appears when the block ends well, else not at
        all.
        """
        with tempfile.TemporaryFile(dir=self._folder) as spool:
            yield spool
            spool.seek(0)
            with _translated(key):
                obstore.put(self._store, key, spool, use_multipart=True)
        self._sync(key)

    def get(self, key: str) -> bytes:
        """Raises ObjectNotFound."""
        with _translated(key):
            return bytes(obstore.get(self._store, key).bytes())

    def chunks(self, key: str) -> Iterator[bytes]:
        """An object in pieces. Raises ObjectNotFound before the first."""
        with _translated(key):
            stream = obstore.get(self._store, key).stream(min_chunk_size=CHUNK_BYTES)
        return (bytes(chunk) for chunk in stream)

    def size(self, key: str) -> int:
        """Bytes. Raises ObjectNotFound."""
        with _translated(key):
            return int(obstore.head(self._store, key)["size"])

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except ObjectNotFound:
            return False
        return True

    def ping(self) -> None:
        """Raises StoreUnavailable when nothing can be stored here."""
        if self._folder is not None and not os.access(self._folder, os.W_OK | os.X_OK):
            raise StoreUnavailable(f"the object folder {self._folder} is gone or cannot be written")

    def keys(self, prefix: str, *, before_ms: int | None = None) -> Iterator[str]:
        """Of all objects below the prefix; with `before_ms` (epoch ms), of those that were written before."""
        for page in obstore.list(self._store, prefix):
            for meta in page:
                if before_ms is None or meta["last_modified"].timestamp() * 1000 < before_ms:
                    yield meta["path"]

    def remove_cut_off(self, *, before_ms: int) -> int:
        """Removes what writers that were killed left half written before then (epoch ms); returns how many files.

        A store of the cloud does so by itself, by a rule for unfinished uploads.
        """
        if self._folder is None:
            return 0
        removed = 0
        for folder, _, names in os.walk(self._folder, topdown=False):
            for path in (Path(folder, name) for name in names if STAGED_MARK in name):
                with contextlib.suppress(FileNotFoundError):  # it is whole by now, and has its name
                    removed += self._remove_if_old(path, before_ms)
        return removed

    def _remove_if_old(self, path: Path, before_ms: int) -> bool:
        is_old = path.stat().st_mtime * 1000 < before_ms
        if is_old:
            path.unlink()
            self._prune(str(path.relative_to(self._folder or "")))
        return is_old

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; one that is not there is no error."""
        for key in keys:
            with contextlib.suppress(ObjectNotFound), _translated(key):
                obstore.delete(self._store, key)
            self._prune(key)

    @contextlib.contextmanager
    def local_file(self, key: str) -> Iterator[Path]:
        """The object as a file: the stored one in a folder store, else a copy that is gone after the block."""
        if self._folder is not None:
            path = self._folder / key
            if not path.is_file():
                raise ObjectNotFound(f"there is no object {key}")
            yield path
            return
        with tempfile.NamedTemporaryFile(suffix=Path(key).suffix) as file:
            for chunk in self.chunks(key):
                file.write(chunk)
            file.flush()
            yield Path(file.name)

    def _are_equal(self, first: str, second: str) -> bool:
        if self.size(first) != self.size(second):
            return False
        one, other = self.chunks(first), self.chunks(second)
        rest_one, rest_other = b"", b""
        while True:
            rest_one = rest_one or next(one, b"")
            rest_other = rest_other or next(other, b"")
            common = min(len(rest_one), len(rest_other))
            if rest_one[:common] != rest_other[:common]:
                return False
            if common == 0:
                return rest_one == rest_other
            rest_one, rest_other = rest_one[common:], rest_other[common:]

    def _sync(self, key: str) -> None:
        """A folder store keeps what it has confirmed even when the power fails."""
        if self._folder is None:
            return
        for path in (self._folder / key, (self._folder / key).parent):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _prune(self, key: str) -> None:
        """Takes away the folders that a removed object leaves empty."""
        if self._folder is None:
            return
        for parent in (self._folder / key).parents:
            if parent == self._folder:
                return
            try:
                parent.rmdir()
            except OSError as error:
                if error.errno == errno.ENOENT:
                    continue
                return


@contextlib.contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFound(f"there is no object {key}") from error
    except AlreadyExistsError as error:
        raise ObjectExists(f"object {key} is there already") from error
    except (BaseError, OSError) as error:
        raise StoreUnavailable(f"the object store does not take {key}: {str(error).splitlines()[0]}") from error
