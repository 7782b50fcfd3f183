"""What object stores do differently. Memory needs nothing of it; a folder and S3 each have a file of their own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import obstore

from reelwork.objects.failures import translated
from reelwork.objects.part_writer import PART_BYTES, PARTS_AT_ONCE

if TYPE_CHECKING:
    from obstore import ObjectMeta

NO_BUCKET: Final = "reelwork"


class Engine:
    """client: of obstore. Thread-safe, as all of its kind."""

    is_remote = False
    shown = "memory"

    def __init__(self, client: Any) -> None:
        self.client = client

    def client_of(self, _key: str) -> Any:
        """Whoever has the object of this key, or takes it."""
        return self.client

    def bucket_of(self, _key: str) -> str:
        """The bucket of the key, as notifications name it; one of a name of ours where there are no buckets."""
        return NO_BUCKET

    def listed(self, prefix: str) -> Iterator[ObjectMeta]:
        """Everything below the prefix."""
        for page in obstore.list(self.client, prefix):
            yield from page

    def path(self, _key: str) -> Path | None:
        """The file that an object is, where objects are files; there may be none."""
        return None

    @contextlib.contextmanager
    def staged(self, key: str) -> Iterator[Path]:
        """A path for a file that becomes the object when the block ends well."""
        with tempfile.TemporaryDirectory(prefix="reelwork-") as folder:
            path = Path(folder) / "object"
            yield path
            with translated(key):
                obstore.put(
                    self.client_of(key),
                    key,
                    path,
                    use_multipart=True,
                    chunk_size=PART_BYTES,
                    max_concurrency=PARTS_AT_ONCE,
                )

    def ping(self) -> None:
        """Raises StoreUnavailable when nothing can be stored here."""

    def verify(self) -> None:
        """Raises ConfigurationError where the store cannot keep its promises, StoreUnavailable where it is away."""

    def settle(self, _key: str) -> None:
        """Makes a write last."""

    def copy_new(self, source: str, key: str) -> None:
        """Copies in the store. Raises AlreadyExistsError, of obstore, where the key has an object."""
        obstore.copy(self.client, source, key, overwrite=False)

    def delete(self, keys: Sequence[str]) -> None:
        """Objects that are not there are no error."""
        obstore.delete(self.client, keys)

    def remove_cut_off(self, _before_ms: int) -> int:
        """Removes what killed writers left half written before then (epoch ms); how many files."""
        return 0

    def link(self, _key: str, _seconds: int) -> str | None:
        """An address from which anyone can read the object for so long; None where there are no such."""
        return None
