"""One object that stays where it is and is read in parts, such as the frames of one range of a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

import obstore
from obstore.exceptions import PreconditionError

from reelwork.errors import StoreUnavailable
from reelwork.objects.failures import translated

CHUNK_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Equal to another of the same object, unless that was replaced meanwhile. e_tag: of its content."""

    key: str
    size_bytes: int
    e_tag: str | None
    client: Any = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    @classmethod
    def opened(cls, client: Any, key: str) -> StoredObject:
        """Raises ObjectNotFound."""
        with translated(key):
            meta = obstore.head(client, key)
        return cls(key, int(meta["size"]), meta["e_tag"], client)

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to before `end`, piece by piece, each in a request of its own: one for all would end
        when its reader is slow, or the server starts anew. Raises what `read_range` does.
        """
        for at in range(start, end, CHUNK_BYTES):
            yield self.read_range(at, min(at + CHUNK_BYTES, end))

    def read_range(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`, all of them.

        Raises ObjectNotFound when the object is gone, StoreUnavailable when it was replaced or the store is away.
        """
        if not 0 <= start <= end <= self.size_bytes:
            raise ValueError(f"bytes {start} to {end} are not within the {self.size_bytes} of {self.key}")
        if start == end:
            return b""
        with translated(self.key):
            try:
                got = obstore.get(self.client, self.key, options={"range": (start, end), "if_match": self.e_tag})
                data = bytes(got.bytes())
            except PreconditionError:
                raise StoreUnavailable(f"object {self.key} was replaced while it was read; try again") from None
        if len(data) != end - start:
            raise StoreUnavailable(f"the object store gave {len(data)} of {end - start} bytes of {self.key}")
        return data
