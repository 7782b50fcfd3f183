"""A clock that stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Callable


class ManualClock:
    """Epoch seconds, on call; exact in milliseconds. on_move: told the new time (ms)."""

    def __init__(self, *, now_ms: int = 1_700_000_000_000) -> None:
        self.now_ms = now_ms
        self.on_move: Callable[[int], object] | None = None

    def __call__(self) -> float:
        return self.now_ms / 1000

    def advance(self, seconds: float) -> None:
        self.advance_ms(round(seconds * 1000))

    def advance_ms(self, milliseconds: int) -> None:
        self.now_ms += milliseconds
        if self.on_move is not None:
            self.on_move(self.now_ms)
