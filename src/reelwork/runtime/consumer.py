"""Takes the deliveries of one queue, in groups as large as its handler is fast, and sees each to its end.

It takes no more than it works on: as many groups at once as the subscription says, and in each some milliseconds of
work. A message whose last worker died gets the process to itself, so that nobody else is blamed for the next death.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog

from reelwork.broker import Broker, Delivery
from reelwork.errors import StoreUnavailable
from reelwork.runtime.declaration import Subscription
from reelwork.runtime.handling import Handling
from reelwork.runtime.metrics.catalogue import SUSPECTS
from reelwork.runtime.outcome import HandlerTimeout
from reelwork.runtime.pace import Pace
from reelwork.runtime.stage_group import StageGroup
from reelwork.runtime.turnstile import Turnstile
from reelwork.runtime.world import World

RECEIVE_WAIT_SECONDS: Final = 1.0
FAILURE_PAUSE_SECONDS: Final = 2.0
HAND_BACK_SECONDS_MAX: Final = 2.0
SUSPECTS_MAX: Final = 16  # the death of one counts as a delivery of the others, of which they have 100

log = structlog.get_logger("reelwork.worker")


class Group(Protocol):
    """Deliveries that are handled together."""

    async def run(self) -> None: ...
    async def hand_back(self) -> None: ...


class Single:
    """The delivery of a plain event; it is begun at once."""

    def __init__(self, handling: Handling, subscription: Subscription, delivery: Delivery) -> None:
        self._handling = handling
        self._subscription = subscription
        self._delivery = delivery

    async def run(self) -> None:
        await self._handling.handle(self._subscription, self._delivery)

    async def hand_back(self) -> None: ...


class Suspects:
    """Takes what may have killed its worker, when nothing else is at hand in this process.

    Other processes may have been faster.
    """

    def __init__(
        self,
        group_of: Callable[[Sequence[Delivery]], Group],
        receive: Callable[[], Awaitable[list[Delivery]]],
        turnstile: Turnstile,
        stop: asyncio.Event,
    ) -> None:
        self._group_of = group_of
        self._receive = receive
        self._turnstile = turnstile
        self._stop = stop
        self._group: Group | None = None

    async def run(self) -> None:
        async with self._turnstile.alone():
            are_suspects = True
            while are_suspects and not self._stop.is_set():
                deliveries = await self._receive()
                are_suspects = any(delivery.is_suspect for delivery in deliveries)
                if deliveries:
                    self._group = self._group_of(deliveries)
                    await self._group.run()

    async def hand_back(self) -> None:
        if self._group is not None:
            await self._group.hand_back()


class Consumer:
    """on_hang: called when a handler is stuck in a thread, with what happened."""

    def __init__(
        self,
        subscription: Subscription,
        *,
        broker: Broker,
        handling: Handling,
        world: World,
        turnstile: Turnstile,
        stop: asyncio.Event,
        on_hang: Callable[[HandlerTimeout], None],
    ) -> None:
        self._subscription = subscription
        self._broker = broker
        self._handling = handling
        self._world = world
        self._turnstile = turnstile
        self._stop = stop
        self._on_hang = on_hang
        self._is_of_stage = subscription.stage is not None and subscription.handler is not None
        self._pace = Pace()
        self._at_hand: dict[asyncio.Task[None], Group] = {}
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Works until `stop` is set and `wake` called; what is at hand then is left to `drain`."""
        while not self._stop.is_set():
            await self._turnstile.wait_open(self._stop)
            try:
                await self._take(self._free)
            except StoreUnavailable as error:
                log.warning("reelwork.worker.receive_failed", queue=self._subscription.queue, error=str(error))
                await self._world.sleep(FAILURE_PAUSE_SECONDS)
            while not self._free and not self._stop.is_set():
                self._news.clear()
                await self._news.wait()

    def wake(self) -> None:
        self._news.set()

    async def drain(self, seconds: float) -> bool:
        """Hands back what was not begun and waits for the rest; False when that takes longer than it may."""
        for group in list(self._at_hand.values()):
            await group.hand_back()
        left = (await asyncio.wait(self._at_hand, timeout=seconds))[1] if self._at_hand else set()
        for task in left:
            task.cancel()
        if left:
            log.warning("reelwork.worker.drain_timeout", queue=self._subscription.queue, groups=len(left))
            await asyncio.wait(left, timeout=HAND_BACK_SECONDS_MAX)
        return not left

    @property
    def _free(self) -> int:
        """How many groups may be begun."""
        return self._subscription.prefetch - len(self._at_hand)

    async def _take(self, groups: int) -> None:
        if self._stop.is_set():
            return
        with self._turnstile.inside():
            deliveries = await self._receive(groups * self._pace.limit, RECEIVE_WAIT_SECONDS)
            if self._stop.is_set():
                await self._hand_back(deliveries)
                return
            suspects = [delivery for delivery in deliveries if delivery.is_suspect]
            if suspects:
                SUSPECTS.count(self._subscription.queue, by=len(suspects))
                self._start_alone(Suspects(self._group, self._receive_suspects, self._turnstile, self._stop))
            fresh = [delivery for delivery in deliveries if not delivery.is_suspect]
            size = -(-len(fresh) // groups)
            for first in range(0, len(fresh), size or 1):
                self._turnstile.enter()
                self._start(self._group(fresh[first : first + size])).add_done_callback(self._left)
            await self._hand_back(suspects)

    def _start_alone(self, suspects: Suspects) -> None:
        """Whoever is inside keeps them waiting only for what he has, not for what may yet come."""
        self._turnstile.close()
        self._broker.interrupt()
        self._start(suspects).add_done_callback(self._reopen)

    async def _receive(self, limit: int, wait_seconds: float) -> list[Delivery]:
        return await self._broker.receive(self._subscription.queue, limit=limit, wait_seconds=wait_seconds)

    async def _receive_suspects(self) -> list[Delivery]:
        return await self._receive(SUSPECTS_MAX if self._is_of_stage else 1, 0)

    async def _hand_back(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            await self._handling.hand_back(deliveries)

    def _group(self, deliveries: Sequence[Delivery]) -> Group:
        if self._is_of_stage:
            return StageGroup(self._handling, self._subscription, deliveries)
        (delivery,) = deliveries
        return Single(self._handling, self._subscription, delivery)

    def _start(self, group: Group) -> asyncio.Task[None]:
        task = asyncio.create_task(self._see_through(group))
        self._at_hand[task] = group
        task.add_done_callback(self._end)
        return task

    def _left(self, _: asyncio.Task[None]) -> None:
        self._turnstile.leave()

    def _reopen(self, _: asyncio.Task[None]) -> None:
        self._turnstile.reopen()

    def _end(self, task: asyncio.Task[None]) -> None:
        group = self._at_hand.pop(task)
        if isinstance(group, StageGroup):
            self._pace.learn(group.begun, group.seconds_busy)
        self._news.set()

    async def _see_through(self, group: Group) -> None:
        try:
            await group.run()
        except HandlerTimeout as error:
            self._on_hang(error)
        except Exception as error:
            # Its leases end and another worker gets it: a crash costs time, never a message.
            log.exception("reelwork.worker.delivery_abandoned", queue=self._subscription.queue, error=str(error))
