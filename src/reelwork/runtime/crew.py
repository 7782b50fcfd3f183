"""The worker processes of a node, as they report themselves to their supervisor: each is at work, or not yet, or no
longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

DRAINING: Final = "draining: no new work is taken, and what is at hand ends"


class WorkerState(StrEnum):
    STARTING = "starting"
    WORKING = "working"
    DRAINING = "draining"


@dataclass(slots=True)
class Crew:
    """states: by the name of a worker process. is_draining: the node is to stop. wanted: how many there should be."""

    states: dict[str, WorkerState] = field(default_factory=dict)
    is_draining: bool = False
    wanted: int = 0

    def by_state(self) -> Mapping[WorkerState, int]:
        counts = Counter(self.states.values())
        return {state: counts[state] for state in WorkerState}

    def complaint(self) -> str | None:
        """Why this node takes no work just now."""
        if self.is_draining:
            return DRAINING
        if self.wanted and WorkerState.WORKING not in self.states.values():
            return "starting: no worker process is at work yet"
        return None
