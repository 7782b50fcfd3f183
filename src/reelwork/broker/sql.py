"""The default broker: queues in the ledger's own database. Publishing and acknowledging ride in the ledger's
transaction,
so nothing can be lost between the two. Taking a message is one `UPDATE ... RETURNING`; a lease is a time of visibility.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar
from uuid import uuid4

from reelwork.broker.base import DEFAULT_LEASE_SECONDS, Broker, Delivery, Depth, Topology
from reelwork.broker.database_bell import DatabaseBell
from reelwork.database import EVERYBODY, Connection, Database, Statements
from reelwork.message import Message

IDLE_POLL_SECONDS: Final = 1.0
VISIBLE_AT_ONCE: Final = 0  # whatever the clock says later
COUNTED_MAX: Final = 1_000_000  # messages of a queue; more are told as so many
LOOKED_AT_MAX: Final = 10_000  # the first of a queue: what is in hand is among them, as they are taken in order
HIDDEN_SECONDS_MAX: Final = 3_600.0  # no lease and no retry is longer; further ahead it was a clock set back since
T = TypeVar("T")


statement: Final = Statements("reelwork.broker")


class Receipt(NamedTuple):
    """A delivery to be acknowledged, if its lease still stands.

    Whoever touches several does so in their order: the heartbeat of a process and its commits meet in the same rows.
    """

    message_id: int
    lease: str


class SqlCourier:
    """The side of the broker that works inside the ledger's transactions."""

    def __init__(self) -> None:
        self.topology = Topology({})

    def publish(self, connection: Connection, messages: Sequence[Message], now_ms: int) -> None:
        queues = {topic: sorted(self.topology.queues(topic)) for topic in {m.topic for m in messages}}
        rows = [
            (queue, m.job_id, m.event_id, m.topic, m.body, m.is_replay, now_ms, VISIBLE_AT_ONCE)
            for m in messages
            for queue in (queues[m.topic] if m.queue is None else (m.queue,))
        ]
        if rows:
            connection.executemany(statement(connection.dialect, "enqueue"), rows)
            connection.ring({row[0] for row in rows})

    def lost(self, connection: Connection, receipts: Sequence[Any]) -> set[object]:
        """Those whose message is in other hands by now, or gone; the others stay as they are until the commit."""
        message_ids = connection.array(sorted(receipt.message_id for receipt in receipts))
        held = connection.execute(statement(connection.dialect, "held"), (message_ids,)).fetchall()
        return set(receipts) - {Receipt(*row) for row in held}

    def forward(self, connection: Connection, messages: Sequence[Message], last_sequence: int, now_ms: int) -> None:
        """The same for what are the last rows of the outbox, up to that number: a statement for each queue copies."""
        topics: dict[str, set[str]] = {m.queue: set() for m in messages if m.queue is not None}
        for topic in {m.topic for m in messages if m.queue is None}:
            for queue in self.topology.queues(topic):
                topics.setdefault(queue, set()).add(topic)
        for queue in sorted(topics):
            own = connection.array(sorted(topics[queue]))
            copied = (queue, VISIBLE_AT_ONCE, last_sequence - len(messages), last_sequence, own, now_ms)
            connection.execute(statement(connection.dialect, "forward"), copied)
        connection.ring(topics.keys())

    def acknowledge(self, connection: Connection, receipts: Sequence[Any]) -> None:
        connection.executemany(statement(connection.dialect, "acknowledge"), sorted(receipts))


class SqlBroker(Broker):
    """Queues in `database`. `lease_owner` names this process, so that its supervisor can hand back what it held."""

    name = "sql:"
    transactional = True

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
        lease_owner: str | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._lease_ms = round(lease_seconds * 1000)
        self._hidden_ms_max = max(round(HIDDEN_SECONDS_MAX * 1000), 2 * self._lease_ms)
        self._owner = lease_owner or uuid4().hex
        self._claims = 0
        self._interruptions = 0
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="reelwork-sql-broker")
        self._bell = DatabaseBell()
        self.courier = SqlCourier()

    async def declare(self, topology: Topology) -> None:
        await super().declare(topology)
        self.courier.topology = topology

    async def publish(self, messages: Sequence[Message]) -> None:
        await self._run(self._publish, messages)

    def _publish(self, messages: Sequence[Message]) -> None:
        self._database.transact(lambda connection: self.courier.publish(connection, messages, self._now_ms()))

    async def receive(self, queue: str, *, limit: int, wait_seconds: float) -> list[Delivery]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        interruptions = self._interruptions
        while True:
            if self._bell.is_deaf:
                self._bell.hear(await self._run(self._database.listen))
            rings = self._bell.rings(queue)
            deliveries, next_visible = await self._run(self._take, queue, limit)
            if deliveries:
                return deliveries
            remaining = deadline - loop.time()
            if remaining <= 0:
                return []
            pause = min(remaining, IDLE_POLL_SECONDS)
            if next_visible is not None:
                pause = min(pause, max(next_visible - self._now_ms(), 1) / 1000)
            if self._interruptions == interruptions:
                await self._bell.wait(queue, rings, pause)
            if self._interruptions != interruptions:
                return []

    def interrupt(self) -> None:
        self._interruptions += 1
        self._bell.ring([EVERYBODY])

    def _take(self, queue: str, limit: int) -> tuple[list[Delivery], int | None]:
        """What can be had at once; and otherwise when to look again at the latest, epoch ms."""
        next_visible = self._next_visible(queue)
        now_ms = self._now_ms()
        if next_visible is not None and next_visible > now_ms + self._hidden_ms_max:
            self._recall(queue)
            next_visible = VISIBLE_AT_ONCE
        if next_visible is None or next_visible > now_ms:
            return [], next_visible
        return self._claim(queue, limit), next_visible

    def _next_visible(self, queue: str) -> int | None:
        row = self._database.read(self._statement("next_visible"), (queue, self._now_ms()))
        return None if row is None else row[0]

    def _recall(self, queue: str) -> None:
        """Makes visible what a clock that was set back would hide for as long."""
        self._database.run(self._statement("recall"), (VISIBLE_AT_ONCE, queue, self._now_ms() + self._hidden_ms_max))

    def _claim(self, queue: str, limit: int) -> list[Delivery]:
        now_ms = self._now_ms()
        self._claims += 1
        lease = f"{self._owner}:{self._claims}"
        claim = (now_ms + self._lease_ms, lease, queue, now_ms, limit)
        rows = self._database.run(self._statement("claim"), claim, is_durable=False).rows
        return [self._delivery(queue, lease, row) for row in sorted(rows)]

    def _delivery(self, queue: str, lease: str, row: tuple[Any, ...]) -> Delivery:
        message_id, event_id, job_id, topic, body, is_replay, deliveries, attempts = row
        message = Message(event_id, job_id, topic, body, None, bool(is_replay))
        return SqlDelivery(
            queue=queue,
            message=message,
            deliveries=deliveries,
            attempts=attempts,
            lease_seconds=self.lease_seconds,
            receipt=Receipt(message_id, lease),
            broker=self,
        )

    async def holds(self, job_id: str, queues: Iterable[str]) -> bool:
        parameters = (job_id, self._database.array(sorted(queues)))
        return await self._run(self._database.read, self._statement("holds"), parameters) is not None

    async def depths(self) -> Mapping[str, Depth]:
        now_ms, queues = self._now_ms(), self.topology.all_queues()
        parameters = (self._database.array(queues), now_ms, COUNTED_MAX, LOOKED_AT_MAX)
        rows = await self._run(self._database.rows, self._statement("depths"), parameters)
        return {
            queue: Depth(count - in_hand, in_hand, 0.0 if oldest is None else max(now_ms - oldest, 0) / 1000)
            for queue, count, in_hand, oldest in rows
        }

    async def release_leases(self, owner: str) -> int:
        """Hands back at once what a dead worker held; returns how many messages that were."""
        parameters = (self._now_ms(), f"{owner}:")
        released = await self._run(self._database.run, self._statement("release_owner"), parameters)
        await self._run(self._database.ring)
        return released.changed

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        await self.settle("extend", deliveries, self.lease_seconds)

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        await self.settle("release", deliveries, 0)
        await self._run(self._database.ring, {delivery.queue for delivery in deliveries})

    async def settle(self, name: str, deliveries: Sequence[Delivery], after_seconds: float) -> int:
        """Runs one of the statements that end or extend leases; returns how many of them still stood."""
        receipts = sorted(delivery.receipt for delivery in deliveries if isinstance(delivery.receipt, Receipt))
        visible_at = self._now_ms() + round(after_seconds * 1000)
        return await self._run(self._settle, name, [(visible_at, *receipt) for receipt in receipts])

    def _settle(self, name: str, rows: Sequence[tuple[object, ...]]) -> int:
        return self._database.change(self._statement(name), rows, is_durable=False)

    @property
    def lease_seconds(self) -> float:
        return self._lease_ms / 1000

    async def close(self) -> None:
        self._bell.close()
        self._executor.shutdown(wait=False)

    def _statement(self, name: str) -> str:
        return statement(self._database.dialect, name)

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)


@dataclass(slots=True, kw_only=True)
class SqlDelivery(Delivery):
    receipt: Receipt
    broker: SqlBroker

    async def ack(self) -> None:
        """Nothing to do: the receipt went with the work."""

    async def retry(self, after_seconds: float) -> None:
        await self.broker.settle("retry", [self], after_seconds)

    async def release(self) -> None:
        await self.broker.release([self])

    async def extend(self) -> bool:
        return await self.broker.settle("extend", [self], self.broker.lease_seconds) == 1
