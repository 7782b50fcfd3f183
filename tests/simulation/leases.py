"""An account of its own of who holds which message: in the end only one has it, and nobody else can do anything to it.

It must never ask the broker whose lease still stands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reelwork.broker import MemoryBroker
from reelwork.broker.memory import MemoryDelivery


class Leases:
    """clock: the broker's. insist: ends the run with the second argument when the first is false."""

    def __init__(
        self, broker: MemoryBroker, *, clock: Callable[[], float], insist: Callable[[bool, str], None]
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._insist = insist
        self._last: dict[int, tuple[MemoryDelivery, float]] = {}

    def taken(self, delivery: MemoryDelivery) -> None:
        before = self._last.get(id(delivery.entry))
        stands = before is not None and self._clock() < before[1]
        self._insist(not stands, f"{_told(delivery)} was handed out while the lease of another stood")
        self._renew(delivery)

    def extended(self, delivery: MemoryDelivery, *, is_mine: bool) -> None:
        self._insist(not is_mine or self._is_last(delivery), f"{_told(delivery)} was extended by one who had lost it")
        if is_mine:
            self._renew(delivery)

    async def end(self, delivery: MemoryDelivery, ending: Callable[[], Any]) -> None:
        """Acknowledges, retries or releases it by `ending`."""
        if self._is_last(delivery):
            await ending()
            del self._last[id(delivery.entry)]
            return
        before = self._broker.held()
        await ending()
        self._insist(before == self._broker.held(), f"{_told(delivery)} was ended by one who had lost it")

    def _is_last(self, delivery: MemoryDelivery) -> bool:
        last = self._last.get(id(delivery.entry))
        return last is not None and last[0] is delivery

    def _renew(self, delivery: MemoryDelivery) -> None:
        self._last[id(delivery.entry)] = (delivery, self._clock() + delivery.lease_seconds)


def _told(delivery: MemoryDelivery) -> str:
    return f"{delivery.message.topic} {delivery.message.event_id[:6]} of {delivery.queue}"
