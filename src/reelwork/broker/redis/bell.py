"""One Pub/Sub connection for all that wait in this process. A ring that is lost costs a poll, never a message."""

from __future__ import annotations

import asyncio
from typing import Final

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from reelwork.broker.redis.server import ANSWER_SECONDS_MAX, RedisServer
from reelwork.broker.rings import Rings
from reelwork.database import EVERYBODY

SEPARATOR: Final = "\n"


class RedisBell(Rings):
    """channel: its messages are names of queues, joined by SEPARATOR."""

    def __init__(self, server: RedisServer, channel: str) -> None:
        super().__init__()
        self._server = server
        self._channel = channel
        self._hearing: asyncio.Task[None] | None = None
        self._beginning = asyncio.Lock()

    async def listen(self) -> None:
        """Listens from now on, if it does not yet; whoever waits looks again, because it may have missed a ring.

        Raises StoreUnavailable.
        """
        async with self._beginning:
            if self._hearing is not None and not self._hearing.done():
                return
            pubsub = self._server.redis.pubsub()
            try:
                await self._server.call(lambda: self._subscribe(pubsub), may_run_twice=False)
            except BaseException:
                await pubsub.aclose()  # type: ignore[no-untyped-call]
                raise
            self._hearing = asyncio.create_task(self._hear(pubsub))
            self.ring([EVERYBODY])

    async def _subscribe(self, pubsub: PubSub) -> None:
        await pubsub.subscribe(self._channel)
        if await pubsub.get_message(timeout=ANSWER_SECONDS_MAX) is None:
            raise RedisError("no answer to SUBSCRIBE")

    async def _hear(self, pubsub: PubSub) -> None:
        try:
            while True:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=None)
                if message is not None:
                    self.ring(message["data"].split(SEPARATOR))
        except (RedisError, OSError):
            return
        finally:
            self.ring([EVERYBODY])
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.gather(self._hearing, return_exceptions=True)
