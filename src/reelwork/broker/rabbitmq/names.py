"""The names of all that Reelwork has in a RabbitMQ, and with which arguments each is declared.

The arguments of a queue cannot be changed once it is there, so they change only with a reason, and a way to migrate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reelwork.broker.base import DELIVERIES_MAX

PAUSES_SECONDS: Final = (1, 2, 5, 15, 60)
"""How long a retry can wait: one queue each. Others are rounded up."""
DURABLE_AND_SAFE: Final[Mapping[str, Any]] = {
    "x-queue-type": "quorum",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",  # what at-least-once demands; without a limit of length nothing is rejected
}


class Names:
    """prefix: of every name."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.events = f"{prefix}reelwork.events"
        self.dead_letters = f"{prefix}reelwork.dead-letters"

    def queue(self, queue: str) -> str:
        return f"{self._prefix}{queue}"

    def dead(self, queue: str) -> str:
        """The queue of what the server itself gave up on."""
        return f"{self._prefix}{queue}.dlq"

    def pause(self, seconds: int) -> str:
        """An exchange and the queue behind it, where a message waits before it goes to the queue of its routing key."""
        return f"{self._prefix}reelwork.retry.{seconds}s"

    def queue_arguments(self, queue: str) -> dict[str, Any]:
        return {
            **DURABLE_AND_SAFE,
            "x-delivery-limit": DELIVERIES_MAX,
            "x-dead-letter-exchange": self.dead_letters,
            "x-dead-letter-routing-key": self.queue(queue),
        }

    @staticmethod
    def dead_arguments() -> dict[str, Any]:
        return {"x-queue-type": "quorum"}

    @staticmethod
    def pause_arguments(seconds: int) -> dict[str, Any]:
        """What has waited long enough leaves through the default exchange, to the queue that its routing key names."""
        return {**DURABLE_AND_SAFE, "x-message-ttl": seconds * 1_000, "x-dead-letter-exchange": ""}


def pause_of(after_seconds: float) -> int | None:
    """The shortest pause that is long enough, at most the longest there is; None for none at all."""
    if after_seconds <= 0:
        return None
    return next((seconds for seconds in PAUSES_SECONDS if seconds >= after_seconds), PAUSES_SECONDS[-1])
