"""How many deliveries a worker takes at a time: many while they are done in no time, one when each takes a while.

A group holds some milliseconds of work. More would not be faster, and what lies in one worker's hands is kept from
idle ones.
"""

from __future__ import annotations

from typing import Final

GROUP_SECONDS: Final = 0.02
GROUP_MAX: Final = 80  # more would hold the lock of the ledger for longer than others like to wait
GROWTH: Final = 4


class Pace:
    """limit: deliveries to take at a time; it begins with one, as nobody knows the handler yet."""

    def __init__(self) -> None:
        self.limit = 1

    def learn(self, deliveries: int, seconds: float) -> None:
        """`deliveries` took `seconds` together."""
        if deliveries < 1:
            return
        fitting = int(GROUP_SECONDS * deliveries / seconds) if seconds > 0 else GROUP_MAX
        if fitting > self.limit and deliveries < self.limit:
            return  # few are no measure of many
        self.limit = max(1, min(fitting, self.limit * GROWTH, GROUP_MAX))
