"""One connection of this process to RabbitMQ: opened when it is first needed, and anew when it broke.

Whoever opens it declares everything before anybody uses it. Errors never show the password.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NoReturn, TypeVar

import aiormq
from aiormq.channel import Channel
from aiormq.exceptions import (
    AMQPError,
    ChannelAccessRefused,
    ChannelPreconditionFailed,
    ConnectionNotAllowed,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from reelwork.broker.rabbitmq.address import RabbitAddress
from reelwork.errors import StoreUnavailable

CONNECT_SECONDS_MAX: Final = 5.0
ANSWER_SECONDS_MAX: Final = 10.0
CLOSE_SECONDS_MAX: Final = 2.0
PAUSE_SECONDS_MIN: Final = 0.1
PAUSE_SECONDS_MAX: Final = 2.0
"""Between two attempts to connect; each that fails doubles it."""
VERSION_MIN: Final = (3, 10)
T = TypeVar("T")

logging.getLogger("aiormq").addHandler(logging.NullHandler())  # every error of it is raised here as well


class Refused(StoreUnavailable):
    """The server answers, and refuses what is asked of it; the text says what to do."""


def is_cut_off(error: BaseException) -> bool:
    """The library cancels whoever waits when its connection breaks."""
    return isinstance(error, asyncio.CancelledError)


class Line:
    """purpose: how the server's own lists call it. prepare: what is to be done with every new connection."""

    def __init__(
        self, address: RabbitAddress, purpose: str, prepare: Callable[[Channel], Awaitable[None]] | None = None
    ) -> None:
        self._address = address
        self._name = purpose
        self._prepare = prepare
        self._connection: aiormq.Connection | None = None
        self._opening = asyncio.Lock()
        self._failures = 0
        self._not_before = 0.0
        self._reason: StoreUnavailable | None = None
        self._ending: set[asyncio.Future[Any]] = set()

    @property
    def is_open(self) -> bool:
        return self._connection is not None and self._connection.is_opened

    async def channel(self, *, confirms: bool = False) -> Channel:
        """A new one. Raises StoreUnavailable; Refused when the server does not let us."""
        connection = await self._open()
        try:
            channel = await self.ask(connection.channel(publisher_confirms=confirms, frame_buffer_size=0))
        except StoreUnavailable:
            if connection is self._connection:
                self.drop()  # no queue has a part in this: the connection itself is dead, and nobody has noticed yet
            raise
        assert isinstance(channel, Channel)
        return channel

    async def _open(self) -> aiormq.Connection:
        async with self._opening:
            if self._connection is not None and self._connection.is_opened:
                return self._connection
            loop = asyncio.get_running_loop()
            if self._reason is not None and loop.time() < self._not_before:
                raise self._reason
            try:
                self._connection = await self._connect()
            except StoreUnavailable as error:
                pause = min(PAUSE_SECONDS_MIN * 2**self._failures, PAUSE_SECONDS_MAX)
                self._failures, self._not_before, self._reason = self._failures + 1, loop.time() + pause, error
                raise
            self._failures, self._reason = 0, None
            return self._connection

    async def _connect(self) -> aiormq.Connection:
        connection = aiormq.Connection(self._address.url, client_properties={"connection_name": self._name})
        try:
            await self.ask(connection.connect(), seconds=CONNECT_SECONDS_MAX)
            self._check(connection)
            if self._prepare is not None:
                channel = await self.ask(connection.channel(publisher_confirms=False))
                assert isinstance(channel, Channel)
                await self._prepare(channel)
                await self.ask(channel.close())
        except BaseException:
            self._let_go(connection)
            raise
        return connection

    def _check(self, connection: aiormq.Connection) -> None:
        told = connection.server_properties
        product, version = str(told.get("product")), str(told.get("version"))
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
        if product == "RabbitMQ" and numbers < VERSION_MIN:
            raise Refused(f"{self._address.shown} is RabbitMQ {version}; RabbitMQ 3.10 or later is needed")

    async def ask(self, question: Awaitable[T], *, seconds: float = ANSWER_SECONDS_MAX) -> T:
        """What the library does, with its troubles told as ours. Raises StoreUnavailable.

        It is waited for from outside: cut off, the library may go on to wait for a connection that has ended.
        """
        asking = asyncio.ensure_future(question)
        try:
            answered, _ = await asyncio.wait({asking}, timeout=seconds)
        except asyncio.CancelledError:
            self._cut_off(asking)
            raise
        if not answered:
            self._cut_off(asking)
            self.fail(TimeoutError(f"no answer within {seconds:g} s"))
        try:
            return asking.result()
        except asyncio.CancelledError as error:
            self.fail(error)
        except StoreUnavailable:
            raise
        except Exception as error:
            if not isinstance(error, AMQPError | OSError | EOFError | RuntimeError) and type(error) is not Exception:
                raise
            self.fail(error)

    def _cut_off(self, asking: asyncio.Future[Any]) -> None:
        asking.cancel()
        self._ending.add(asking)
        asking.add_done_callback(self._ended)

    def _ended(self, asking: asyncio.Future[Any]) -> None:
        self._ending.discard(asking)
        if not asking.cancelled():
            asking.exception()

    def fail(self, error: BaseException) -> NoReturn:
        """Raises StoreUnavailable for an error of the library."""
        shown = self._address.shown
        told = str(error) or ("the connection broke" if is_cut_off(error) else type(error).__name__)
        if isinstance(error, ProbableAuthenticationError):
            raise Refused(f"the broker {shown} does not let this user in: {told}") from error
        if isinstance(error, ConnectionNotAllowed) or "Connection.OpenOk" in told:
            raise Refused(
                f"the broker {shown} does not let {self._address.user!r} into the virtual host "
                f"{self._address.vhost!r}: make it and give the user rights in it (rabbitmqctl add_vhost, "
                "set_permissions), or name another in the URL"
            ) from error
        if isinstance(error, ChannelAccessRefused):
            raise Refused(f"the broker {shown} refuses what is needed of it: {told}") from error
        if isinstance(error, ChannelPreconditionFailed) and "inequivalent" in told:
            raise Refused(
                f"the broker {shown} has it with other arguments: {told}. Delete it there once it is empty "
                "(rabbitmqctl delete_queue), or give another ?prefix= or virtual host in the URL"
            ) from error
        if isinstance(error, ChannelPreconditionFailed) and "timed out" in told:
            raise StoreUnavailable(
                f"the broker {shown} took deliveries back: {told}. Raise consumer_timeout there, and in the URL, "
                "or set REELWORK_HANDLER_TIMEOUT_SECONDS lower"
            ) from error
        if isinstance(error, InvalidFrameError):
            told = f"it does not speak AMQP 0-9-1: {told}"
        raise StoreUnavailable(f"the broker {shown} does not answer: {told}") from error

    def drop(self) -> None:
        """Gives up the connection; nobody knows what became of what was asked through it. The next opens another."""
        if self._connection is not None:
            self._let_go(self._connection)
            self._connection = None

    def abandon(self, channel: Channel) -> None:
        """Ends a channel that something went wrong with; the server hands out again what came through it."""
        self._see_off(channel.close())

    def _let_go(self, connection: aiormq.Connection) -> None:
        self._see_off(connection.close())

    def _see_off(self, closing: Coroutine[Any, Any, object]) -> None:
        ending = asyncio.create_task(closing)
        self._ending.add(ending)
        ending.add_done_callback(self._ended)
        asyncio.get_running_loop().call_later(CLOSE_SECONDS_MAX, ending.cancel)

    async def close(self) -> None:
        self.drop()
        if self._ending:
            await asyncio.wait(self._ending, timeout=2 * CLOSE_SECONDS_MAX)
