"""A clock that stands still until a test moves it."""

from __future__ import annotations


class ManualClock:
    """Epoch seconds, on call; exact in milliseconds."""

    def __init__(self, *, now_ms: int = 1_700_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> float:
        return self.now_ms / 1000

    def advance(self, seconds: float) -> None:
        self.advance_ms(round(seconds * 1000))

    def advance_ms(self, milliseconds: int) -> None:
        self.now_ms += milliseconds
