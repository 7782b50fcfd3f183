"""What every broker offers: topics that reach queues, deliveries under a lease, retries to one's own queue.

A broker carries hints: they may be lost, doubled and reordered. Nothing here decides whether work is done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from reelwork.message import Message

DELIVERIES_MAX: Final = 100
DEFAULT_LEASE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Topology:
    """Which queues each topic reaches. A queue belongs to one service, whose replicas share it."""

    bindings: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Topology:
        """From (topic, queue) pairs."""
        bindings: dict[str, set[str]] = {}
        for topic, queue in pairs:
            bindings.setdefault(topic, set()).add(queue)
        return cls({topic: frozenset(queues) for topic, queues in bindings.items()})

    def queues(self, topic: str) -> frozenset[str]:
        return self.bindings.get(topic, frozenset())

    def all_queues(self) -> list[str]:
        """In the order of their names."""
        return sorted(frozenset().union(*self.bindings.values()))


class Depth(NamedTuple):
    """What a queue holds of all jobs together.

    waiting: to be taken, now or after a pause. in_hand: taken, with a lease that stands. oldest_seconds: the age of the
    oldest that waits, 0 where none does. None: the engine cannot tell.
    """

    waiting: int
    in_hand: int | None
    oldest_seconds: float | None


@dataclass(slots=True, kw_only=True)
class Delivery(ABC):
    """A message in the hands of one consumer until it is acknowledged, retried or released, or its lease ends.

    deliveries: how often it was handed out, this time included; a retry forgets the times that ended in silence, so
        that an honest failure after a crash is not taken for another crash. attempts: how often it was retried.
    receipt: where it is set, the acknowledgement rides in the ledger's transaction and `ack` has nothing left to do.
    span_id: of this one in the trace of its job; 0 until somebody traces it.
    """

    queue: str
    message: Message
    deliveries: int
    attempts: int
    lease_seconds: float = DEFAULT_LEASE_SECONDS
    receipt: object | None = None
    span_id: int = 0

    @property
    def is_suspect(self) -> bool:
        """It came back without having failed: whoever had it last may have died of it."""
        return self.deliveries > self.attempts + 1

    @abstractmethod
    async def ack(self) -> None:
        """Done with it, for good."""

    @abstractmethod
    async def retry(self, after_seconds: float) -> None:
        """It failed; hand it out again from this very queue, `after_seconds` from now."""

    @abstractmethod
    async def release(self) -> None:
        """It was not started; hand it out again at once."""

    @abstractmethod
    async def extend(self) -> bool:
        """Renews the lease. False when it was lost: somebody else may have the message."""


class Broker(ABC):
    """One engine. `transactional`: publishing rides in the ledger's transaction and the relay has nothing to do.

    name: for people; never with a password.
    """

    name: str
    transactional: bool = False
    topology: Topology = Topology({})
    trace_context: Callable[[Message], str | None] | None = None
    """Where somebody traces: the `traceparent` (W3C Trace Context) that a message carries in its headers."""

    async def declare(self, topology: Topology) -> None:
        """Makes every queue and binding. Called before anything is published."""
        self.topology = topology

    def check_handling(self, seconds: float) -> None:  # noqa: B027
        """Raises ConfigurationError where the engine would take a delivery back that is handled for so long."""

    async def check_queues(self, topology: Topology) -> None:  # noqa: B027
        """Raises ConfigurationError for queues that are missing and that `declare` would not make. Makes none."""

    def traceparent(self, message: Message) -> str | None:
        """For the headers of the message; None where nobody traces it."""
        return None if self.trace_context is None else self.trace_context(message)

    @abstractmethod
    async def publish(self, messages: Sequence[Message]) -> None:
        """Returns when the engine has confirmed all of them. Raises StoreUnavailable when it did not."""

    @abstractmethod
    async def receive(self, queue: str, *, limit: int, wait_seconds: float) -> list[Delivery]:
        """Up to `limit` deliveries, first attempts in order; an empty list when none came within `wait_seconds`, or
        before `interrupt`.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Ends the patience of every `receive` that waits, in this process. One whose deliveries are on their way to it
        brings them all the same; one that was not to wait goes on as if nothing had been.
        """

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Done with all of them, for good."""
        for delivery in deliveries:
            await delivery.ack()

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Renews the leases that still stand."""
        for delivery in deliveries:
            await delivery.extend()

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """None of them was started; hands them out again at once."""
        for delivery in deliveries:
            await delivery.release()

    @abstractmethod
    async def holds(self, job_id: str, queues: Iterable[str]) -> bool:
        """Whether any of the queues still holds a message of the job, waiting or in somebody's hands."""

    async def depths(self) -> Mapping[str, Depth]:
        """Every declared queue, empty ones too; none at all from an engine that cannot tell. Cheap, so it may look at
        the first messages of a long queue only, and then `in_hand` is at least so many.

        Raises StoreUnavailable.
        """
        return {}

    async def given_up(self, *, limit: int) -> list[Delivery]:  # noqa: ARG002
        """What the engine gave up on by itself, in spite of all limits; `queue` is where it came from. To be seen to
        like any other delivery. Raises StoreUnavailable.
        """
        return []

    async def release_leases(self, owner: str) -> int:  # noqa: ARG002
        """Hands back at once what a dead process held; how many messages that were. Where the engine does so by itself
        there is nothing to do.
        """
        return 0

    async def ping(self) -> None:  # noqa: B027
        """Raises StoreUnavailable when the engine does not answer; one inside the ledger's database is asked there."""

    @abstractmethod
    async def close(self) -> None: ...
