"""Files that a command writes where its user says: whole or not at all, and refused before the work where possible."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from reelwork.errors import ConfigurationError


def refuse_unwritable(path: Path | None) -> None:
    """Raises ConfigurationError where a file can never be written."""
    if path is None:
        return
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ConfigurationError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(f"cannot write {path}: the folder {folder} is not yours to write to")


def make_folder(folder: Path, *, option: str) -> None:
    """Raises ConfigurationError where there can be none, or it cannot be written to; `option` chooses another."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # whatever stands in the way: permissions, a file system that is read-only or full
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to the folder {folder}: {error.strerror}; choose another with {option}"
        ) from None


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when the block ends well. Raises ConfigurationError where it cannot be written."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        try:
            with unfinished.open("wb") as file:
                yield file
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error
