"""Objects as files of a folder, which keeps what it has confirmed even when the power fails."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.objects.engine import Engine

STAGED_MARK: Final = "#"  # in the names of files that obstore has not finished; no key of ours has it


class Folder(Engine):
    """At `file:///absolute/folder`. Raises ConfigurationError."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise ConfigurationError(f"{url!r} is not a folder; use file:///absolute/folder")
        self._folder = Path(unquote(parts.path))
        self.shown = str(self._folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            super().__init__(LocalStore(self._folder))
        except (OSError, BaseError) as error:
            raise ConfigurationError(f"cannot use the object folder {self._folder}: {error}") from error

    def path(self, key: str) -> Path | None:
        return self._folder / key

    @contextlib.contextmanager
    def staged(self, key: str) -> Iterator[Path]:
        """Where the object will lie, with digits behind the mark, as obstore's own: no listing shows such a file."""
        path = self._folder / f"{key}{STAGED_MARK}{uuid4().int}"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield path
            os.replace(path, self._folder / key)
        except BaseException:
            path.unlink(missing_ok=True)
            self._prune(key)
            raise

    def ping(self) -> None:
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise StoreUnavailable(f"the object folder {self._folder} is gone or cannot be written")

    def settle(self, key: str) -> None:
        for path in (self._folder / key, (self._folder / key).parent):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                obstore.delete(self.client, key)
            self._prune(key)

    def remove_cut_off(self, before_ms: int) -> int:
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
            self._prune(str(path.relative_to(self._folder)))
        return is_old

    def _prune(self, key: str) -> None:
        """Takes away the folders that a removed object leaves empty."""
        for parent in (self._folder / key).parents:
            if parent == self._folder:
                return
            try:
                parent.rmdir()
            except OSError as error:
                if error.errno == errno.ENOENT:
                    continue
                return
