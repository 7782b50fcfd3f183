"""The broker as one simulated process sees it: it may refuse, keep its confirmation to itself, lose an
acknowledgement, or be the last thing the process ever asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from reelwork.broker import Broker, Delivery, MemoryBroker, Message, Topology
from reelwork.broker.memory import MemoryDelivery
from reelwork.errors import StoreUnavailable
from tests.simulation.leases import Leases
from tests.simulation.process import Process
from tests.simulation.weather import Sky

PATIENCE_SECONDS = 60.0


class BrokerFace(Broker):
    def __init__(
        self,
        broker: MemoryBroker,
        process: Process,
        *,
        sky: Sky,
        leases: Leases,
        clock: Callable[[], float],
        check_turn: Callable[[str], None],
    ) -> None:
        self.inner = broker
        self.process = process
        self.sky = sky
        self.topology: Topology = broker.topology
        self.leases = leases
        self.in_hand = process.in_hand
        self.clock = clock
        self.check_turn = check_turn

    async def publish(self, messages: Sequence[Message]) -> None:
        self.refuse("publish")
        self.check_turn(self.process.relay)
        await self.crash("before publishing")
        weather = self.sky.weather
        if self.sky.strikes(weather.broker_unconfirmed):
            some = messages[: self.sky.dice.randint(0, len(messages))]
            await self.inner.publish(some)
            self._note(f"publishes {len(some)} of {len(messages)} messages and hears no confirmation")
            raise StoreUnavailable("the broker has not confirmed")
        await self.inner.publish(messages)
        self._note("publishes " + ", ".join(f"{m.topic} {m.event_id[:6]}" for m in messages))
        await self.crash("after publishing")

    async def receive(self, queue: str, *, limit: int, wait_seconds: float) -> list[Delivery]:
        """Waits much longer than it is asked to, because it would only be asked again."""
        self.refuse("receive")
        task = asyncio.current_task()
        assert task is not None
        self.process.receiving.append(task)
        try:
            wait = PATIENCE_SECONDS if wait_seconds and not self.process.is_stopping else 0
            taken = await self.inner.receive(queue, limit=limit, wait_seconds=wait)
        except asyncio.CancelledError:
            if task not in self.process.interrupted:
                raise
            self.process.interrupted.discard(task)
            task.uncancel()
            return []
        finally:
            self.process.receiving.remove(task)
        deliveries = [self._faced(cast(MemoryDelivery, delivery)) for delivery in taken]
        if deliveries:
            await self.crash("after receiving")
        return deliveries

    def interrupt(self) -> None:
        self.process.end_receiving()

    def _faced(self, inner: MemoryDelivery) -> Delivery:
        message = inner.message
        self.leases.taken(inner)
        self.in_hand[id(inner)] = inner
        self._note(
            f"takes {message.topic} {message.event_id[:6]} (delivery {inner.deliveries}, attempts {inner.attempts})"
        )
        return DeliveryFace(
            queue=inner.queue,
            message=message,
            deliveries=inner.deliveries,
            attempts=inner.attempts,
            lease_seconds=inner.lease_seconds,
            inner=inner,
            face=self,
        )

    async def holds(self, job_id: str, queues: Iterable[str]) -> bool:
        self.refuse("holds")
        self.process.looks[job_id] = round(self.clock() * 1000)
        return await self.inner.holds(job_id, queues)

    async def hand_on(self) -> None:
        """What the dead process held goes to the others at once."""
        for delivery in self.in_hand.values():
            await self.leases.end(delivery, partial(self._put_back, delivery))

    async def _put_back(self, delivery: MemoryDelivery) -> None:
        if await delivery.extend():
            delivery.broker.put_back(delivery.queue, delivery.entry, 0)

    async def close(self) -> None: ...

    def refuse(self, name: str) -> None:
        if self.sky.strikes(self.sky.weather.broker_refuses):
            self._note(f"{name}: the broker does not answer")
            raise StoreUnavailable("the broker does not answer")

    async def crash(self, when: str) -> None:
        weather = self.sky.weather
        if self.sky.strikes(weather.crash_before if when.startswith("before") else weather.crash_after):
            await self.process.die(when)

    def _note(self, what: str) -> None:
        self.process.history.note(self.process.name, what)


@dataclass(slots=True, kw_only=True)
class DeliveryFace(Delivery):
    inner: MemoryDelivery
    face: BrokerFace

    async def ack(self) -> None:
        if await self._reaches("ack"):
            await self.face.leases.end(self.inner, self.inner.ack)
            self._let_go()
        await self.face.crash("after ack")

    async def retry(self, after_seconds: float) -> None:
        if await self._reaches(f"retry in {after_seconds:.1f} s"):
            await self.face.leases.end(self.inner, partial(self.inner.retry, after_seconds))
            self._let_go()

    async def release(self) -> None:
        if await self._reaches("release"):
            await self.face.leases.end(self.inner, self.inner.release)
            self._let_go()

    async def extend(self) -> bool:
        self.face.refuse("extend")
        is_mine = await self.inner.extend()
        self.face.leases.extended(self.inner, is_mine=is_mine)
        if not is_mine:
            self._note("extend: the lease is lost")
        return is_mine

    async def _reaches(self, what: str) -> bool:
        self.face.refuse(what)
        await self.face.crash(f"before {what}")
        if self.face.sky.strikes(self.face.sky.weather.acknowledgement_lost):
            self._note(f"{what}: never reaches the broker")
            return False
        self._note(what)
        return True

    def _let_go(self) -> None:
        self.face.in_hand.pop(id(self.inner), None)

    def _note(self, what: str) -> None:
        message = self.message
        self.face.process.history.note(self.face.process.name, f"{what} ({message.topic} {message.event_id[:6]})")
