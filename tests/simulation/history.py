"""What happened in a run, in order: virtual time, who, what. Two runs of one seed must have the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


class Violation(Exception):
    """Something that must hold did not."""


@dataclass(slots=True)
class History:
    """clock: virtual seconds since the run began."""

    clock: Callable[[], float]
    entries: list[tuple[float, str, str]] = field(default_factory=list)

    def note(self, who: str, what: str) -> None:
        self.entries.append((self.clock(), who, what))

    def lines(self) -> list[str]:
        return [f"{at:10.3f}  {who:<10} {what}" for at, who, what in self.entries]
