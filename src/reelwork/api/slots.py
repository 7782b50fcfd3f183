"""A bounded number of places for what costs memory while it lasts; whoever finds none is told to come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import HTTPException

RETRY_AFTER_SECONDS: Final = 5


class Slots:
    """Belongs to one event loop. what: named in the refusal."""

    def __init__(self, what: str, *, slots_max: int) -> None:
        self._what = what
        self._slots_max = slots_max
        self.taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Holds a place during the block. Raises a 503 when all are taken."""
        if self.taken >= self._slots_max:
            raise HTTPException(
                503,
                f"this server is busy with {self.taken} {self._what}; try again in a moment",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
