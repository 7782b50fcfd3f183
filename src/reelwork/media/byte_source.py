"""What a video is read from: a file of this machine, or something elsewhere that gives any range of its bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final, Protocol

from reelwork.media.ranged_file import RangedFile

BUFFER_BYTES: Final = 1 << 20


class ByteSource(Protocol):
    """Bytes that are elsewhere, and do not change. name: for its ending only."""

    @property
    def name(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

    def read_range(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`, all of them; raises what its holder raises."""


MediaFile = Path | ByteSource


def size_of(media: MediaFile) -> int:
    """Bytes."""
    return media.stat().st_size if isinstance(media, Path) else media.size_bytes


def open_bytes(media: MediaFile) -> io.BufferedReader:
    """A seekable file with the bytes of a video, for who wants those themselves."""
    return media.open("rb") if isinstance(media, Path) else io.BufferedReader(RangedFile(media), BUFFER_BYTES)
