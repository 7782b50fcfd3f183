"""A worker: takes deliveries from the queues of its services and sees each to its end.

It takes no more than it works on, drains when it is told to stop, and asks to be replaced when a handler hangs. A
message whose last worker died gets the process to itself, so that nobody else is blamed for the next death.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from reelwork.broker import Broker, Delivery
from reelwork.errors import StoreUnavailable
from reelwork.runtime.declaration import Subscription
from reelwork.runtime.handling import Handling
from reelwork.runtime.outcome import HandlerTimeout
from reelwork.runtime.turnstile import Turnstile
from reelwork.runtime.world import World

RECEIVE_WAIT_SECONDS: Final = 1.0
FAILURE_PAUSE_SECONDS: Final = 2.0
HAND_BACK_SECONDS_MAX: Final = 2.0

log = structlog.get_logger("reelwork.worker")


class Worker:
    """drain_seconds: how long running handlers may take once the worker is to stop."""

    def __init__(
        self,
        subscriptions: Sequence[Subscription],
        *,
        broker: Broker,
        handling: Handling,
        world: World,
        drain_seconds: float,
    ) -> None:
        self._subscriptions = subscriptions
        self._broker = broker
        self._handling = handling
        self._world = world
        self._drain_seconds = drain_seconds
        self._stop = asyncio.Event()
        self._turnstile = Turnstile()
        self.must_be_replaced = False

    def stop(self) -> None:
        """Takes no more deliveries; `run` returns when those at hand are done."""
        self._stop.set()

    async def run(self) -> None:
        """Works until `stop`. Afterwards `must_be_replaced` tells whether a thread is stuck in this process."""
        await asyncio.gather(*(self._consume(subscription) for subscription in self._subscriptions))

    async def _consume(self, subscription: Subscription) -> None:
        at_hand: set[asyncio.Task[None]] = set()
        while not self._stop.is_set():
            await self._turnstile.wait_open(self._stop)
            try:
                at_hand |= await self._take(subscription, subscription.prefetch - len(at_hand))
            except StoreUnavailable as error:
                log.warning("reelwork.worker.receive_failed", queue=subscription.queue, error=str(error))
                await self._world.sleep(FAILURE_PAUSE_SECONDS)
            if len(at_hand) >= subscription.prefetch:
                await self._first_to_finish(at_hand)
            at_hand = {task for task in at_hand if not task.done()}
        await self._drain(at_hand)

    async def _take(self, subscription: Subscription, limit: int) -> set[asyncio.Task[None]]:
        if self._stop.is_set():
            return set()
        with self._turnstile.inside():
            deliveries = await self._broker.receive(subscription.queue, limit=limit, wait_seconds=RECEIVE_WAIT_SECONDS)
            if self._stop.is_set():
                await self._hand_back(deliveries)
                return set()
            suspects = [delivery for delivery in deliveries if delivery.is_suspect]
            tasks = {self._start(subscription, delivery) for delivery in deliveries if not delivery.is_suspect}
            await self._hand_back(suspects)
        if suspects:
            tasks.add(asyncio.create_task(self._handle_alone(subscription)))
        return tasks

    async def _hand_back(self, deliveries: Sequence[Delivery]) -> None:
        """What was not started goes to the next worker at once; where that fails, when its lease ends."""
        for delivery in deliveries:
            try:
                await delivery.release()
            except StoreUnavailable as error:
                log.warning("reelwork.worker.hand_back_failed", queue=delivery.queue, error=str(error))

    def _start(self, subscription: Subscription, delivery: Delivery) -> asyncio.Task[None]:
        self._turnstile.enter()
        task = asyncio.create_task(self._handle(subscription, delivery))
        task.add_done_callback(lambda _: self._turnstile.leave())
        return task

    async def _handle_alone(self, subscription: Subscription) -> None:
        """Takes suspects, one by one, when nothing else is at hand in this process; others may have been faster."""
        async with self._turnstile.alone():
            is_suspect = True
            while is_suspect and not self._stop.is_set():
                is_suspect = False
                try:
                    deliveries = await self._broker.receive(subscription.queue, limit=1, wait_seconds=0)
                except StoreUnavailable as error:
                    log.warning("reelwork.worker.receive_failed", queue=subscription.queue, error=str(error))
                    return
                for delivery in deliveries:
                    is_suspect = delivery.is_suspect
                    await self._handle(subscription, delivery)

    async def _handle(self, subscription: Subscription, delivery: Delivery) -> None:
        try:
            await self._handling.handle(subscription, delivery)
        except HandlerTimeout as error:
            log.error("reelwork.worker.handler_timeout", queue=delivery.queue, error=str(error))
            self.must_be_replaced = True
            self.stop()
        except Exception as error:
            # Its lease ends and another worker gets it: a crash costs time, never a message.
            log.exception("reelwork.worker.delivery_abandoned", queue=delivery.queue, error=str(error))

    async def _first_to_finish(self, at_hand: set[asyncio.Task[None]]) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({*at_hand, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    async def _drain(self, at_hand: set[asyncio.Task[None]]) -> None:
        if not at_hand:
            return
        _, left = await asyncio.wait(at_hand, timeout=self._drain_seconds)
        if left:
            log.warning("reelwork.worker.drain_timeout", deliveries=len(left))
            self.must_be_replaced = True
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=HAND_BACK_SECONDS_MAX)
