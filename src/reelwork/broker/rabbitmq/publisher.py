"""Publishes with confirmation: a batch goes out as one write, and returns when the server has told of each.

The frames are put together here: one coroutine and one write a message, as the library does it, is six times slower.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple

from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError, PublishError
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from reelwork.broker.rabbitmq.line import Line
from reelwork.errors import StoreUnavailable

CONFIRM_SECONDS_MAX: Final = 10.0
PUBLISH_MAX: Final = 500
"""Messages in one write, and waiting for their confirmation at a time."""


class Parcel(NamedTuple):
    """is_awaited: some queue must take it; one that none takes comes back."""

    exchange: str
    routing_key: str
    properties: Basic.Properties
    body: bytes
    is_awaited: bool = True


class Publisher:
    """redeclare: makes the queues again that somebody has deleted."""

    def __init__(self, line: Line, redeclare: Callable[[], Awaitable[None]]) -> None:
        self._line = line
        self._channel: Channel | None = None
        self._opening = asyncio.Lock()
        self._redeclare = redeclare

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        """Returns when all are confirmed, in order as far as nothing went wrong. Raises StoreUnavailable; then some may
        have been published.
        """
        for first in range(0, len(parcels), PUBLISH_MAX):
            returned = await self._publish(parcels[first : first + PUBLISH_MAX])
            if returned:
                await self._redeclare()
                if lost := await self._publish(returned):
                    raise StoreUnavailable(f"the broker has no queue for {lost[0].routing_key}")

    async def _publish(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """Gives those that came back because no queue takes them."""
        channel = await self._open()
        confirmations = await self._line.ask(self._send(channel, parcels))
        try:
            async with asyncio.timeout(CONFIRM_SECONDS_MAX):
                await asyncio.wait(confirmations)
        except TimeoutError as error:  # a server that is full, or asleep, takes nothing in
            self._line.drop()
            raise StoreUnavailable(f"the broker has not confirmed within {CONFIRM_SECONDS_MAX:g} s") from error
        finally:
            for parcel in parcels:
                channel.message_id_delivery_tag.pop(str(parcel.properties.message_id), None)
        returned = []
        for parcel, confirmation in zip(parcels, confirmations, strict=True):
            trouble = asyncio.CancelledError() if confirmation.cancelled() else confirmation.exception()
            if isinstance(trouble, PublishError):
                returned.append(parcel)
            elif isinstance(trouble, DeliveryError):
                raise StoreUnavailable(f"the broker could not keep a message for {parcel.routing_key}") from trouble
            elif trouble is not None:
                self._line.fail(trouble)
        return returned

    async def _send(self, channel: Channel, parcels: Iterable[Parcel]) -> list[asyncio.Future[object]]:
        frames: list[object] = []
        confirmations: list[asyncio.Future[object]] = []
        async with channel.lock:
            first = channel.delivery_tag + 1
            for tag, parcel in enumerate(parcels, first):
                frames += _frames(channel, parcel)
                confirmation = channel.create_future()
                channel.confirmations[tag] = confirmation
                confirmations.append(confirmation)
                message_id = str(parcel.properties.message_id)
                channel.message_id_delivery_tag[message_id] = tag
            channel.delivery_tag = first + len(confirmations) - 1
            written = ChannelFrame.marshall(channel_number=channel.number, frames=frames)  # type: ignore[arg-type]
            try:
                await channel.write_queue.put(written)
            except BaseException:
                self._line.drop()  # the numbers of the confirmations would not fit any more
                raise
        return confirmations

    async def _open(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.is_closed or not self._line.is_open:
                self._channel = await self._line.channel(confirms=True)
            return self._channel


def _frames(channel: Channel, parcel: Parcel) -> Iterable[object]:
    yield Basic.Publish(exchange=parcel.exchange, routing_key=parcel.routing_key, mandatory=parcel.is_awaited)
    yield ContentHeader(properties=parcel.properties, body_size=len(parcel.body))
    size = channel.max_content_size
    for first in range(0, len(parcel.body), size):
        yield ContentBody(parcel.body[first : first + size])
