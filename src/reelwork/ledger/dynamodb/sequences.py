"""Numbers that grow with time and that no two processes ever give: an event's place in the outbox, a dead letter's.

A sequence is the millisecond, the number of the process, and the place among the events of one item: 41, 14, 10 bits.
Where clocks differ or are set back, what is known of the same stage or job keeps the order.
"""

from __future__ import annotations

import threading
from typing import Final

from reelwork.ledger.dynamodb import keys
from reelwork.ledger.dynamodb.outbox import EVENTS_PER_ITEM_MAX
from reelwork.ledger.dynamodb.store import Store

PLACE_BITS: Final = 10
NODE_BITS: Final = 14
assert EVENTS_PER_ITEM_MAX <= 1 << PLACE_BITS


class Sequences:
    """Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._node: int | None = None
        self._last_ms = 0
        self._last_letter: int | None = None

    def next(self, now_ms: int, *, after: int = 0) -> int:
        """Of the first event in an item; the others follow it. after: one that it must be greater than."""
        with self._lock:
            if self._node is None:
                self._node = self._store.count_up(keys.NODES) % (1 << NODE_BITS)
            self._last_ms = max(now_ms, self._last_ms + 1, (after >> PLACE_BITS + NODE_BITS) + 1)
            return self._last_ms << PLACE_BITS + NODE_BITS | self._node << PLACE_BITS

    def next_letter(self, now_ms: int) -> int:
        """Microseconds, which a browser's numbers hold too; two that are the same do not both get recorded."""
        with self._lock:
            if self._last_letter is None:
                newest = next(self._store.query(keys.LETTERS, index="listing", newest_first=True, page_size=1), [])
                self._last_letter = int(str(newest[0]["listing_key"])) if newest else 0
            self._last_letter = max(now_ms * 1000, self._last_letter + 1)
            return self._last_letter

    @staticmethod
    def item_of(sequence: int) -> int:
        """The sequence of the first event in the item that holds this one."""
        return sequence >> PLACE_BITS << PLACE_BITS
