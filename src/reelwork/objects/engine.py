"""What object stores do differently. Memory needs nothing of it; a folder and S3 each have a file of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import obstore


class Engine:
    """client: of obstore. Thread-safe, as all of its kind."""

    is_remote = False
    shown = "memory"

    def __init__(self, client: Any) -> None:
        self.client = client

    def path(self, _key: str) -> Path | None:
        """The file that an object is, where objects are files; there may be none."""
        return None

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
