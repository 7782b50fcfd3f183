"""A worker: consumes the queues of its services, drains when it is told to stop, and asks to be replaced when a handler
hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from reelwork.broker import Broker
from reelwork.runtime.consumer import Consumer
from reelwork.runtime.declaration import Subscription
from reelwork.runtime.handling import Handling
from reelwork.runtime.outcome import HandlerTimeout
from reelwork.runtime.turnstile import Turnstile
from reelwork.runtime.world import World

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
        self._broker = broker
        self._drain_seconds = drain_seconds
        self._stop = asyncio.Event()
        turnstile = Turnstile()
        self._consumers = [
            Consumer(
                subscription,
                broker=broker,
                handling=handling,
                world=world,
                turnstile=turnstile,
                stop=self._stop,
                on_hang=self._replace,
            )
            for subscription in subscriptions
        ]
        self.must_be_replaced = False

    def stop(self) -> None:
        """Takes no more deliveries; `run` returns when those at hand are done."""
        self._stop.set()
        self._broker.interrupt()
        for consumer in self._consumers:
            consumer.wake()

    async def run(self) -> None:
        """Works until `stop`. Afterwards `must_be_replaced` tells whether a thread is stuck in this process."""
        await asyncio.gather(*map(self._consume, self._consumers))

    async def _consume(self, consumer: Consumer) -> None:
        await consumer.run()
        if not await consumer.drain(self._drain_seconds):
            self.must_be_replaced = True

    def _replace(self, error: HandlerTimeout) -> None:
        log.error("reelwork.worker.handler_timeout", error=str(error))
        self.must_be_replaced = True
        self.stop()
