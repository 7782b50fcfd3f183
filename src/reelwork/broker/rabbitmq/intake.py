"""What one channel has brought from one queue, and what became of it. It ends with its channel: then the server hands
all of it out again.

The server pushes what was asked for and no more, so that nothing lies here that an idle process could do. A delivery
that nobody extends is given back when its lease has passed, as one whose process died is at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from aiormq.abc import ChannelFrame, DeliveredMessage
from aiormq.channel import Channel
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from reelwork.broker.rabbitmq.envelope import message_of
from reelwork.broker.rabbitmq.line import Line
from reelwork.message import Message

PREFETCH_MAX: Final = 2_000
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Held:
    """A message that the server has handed to this process. lease: of whom it was given to here; 0 while it waits, and
    when its end is on the way. since: when it began to wait.
    """

    tag: int
    message: Message
    deliveries: int
    attempts: int
    consumer: str | None
    since: float
    lease: int = 0
    ends_at: float = 0.0


class Intake:
    """name: of the queue, as the server knows it. clock: seconds, for leases. on_news: called when something has come,
    or never will again.
    """

    def __init__(
        self,
        name: str,
        line: Line,
        channel: Channel,
        *,
        clock: Callable[[], float],
        lease_seconds: float,
        consume_arguments: dict[str, Any],
        on_news: Callable[[], None],
    ) -> None:
        self.name = name
        self._line = line
        self._channel = channel
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._arguments = consume_arguments
        self._on_news = on_news
        self._held: dict[int, Held] = {}
        self._waiting: deque[Held] = deque()
        self._leases = 0
        self._prefetch_of: dict[str, int] = {}
        self._pushed = 0
        self._is_fetching = False
        self._is_broken = False
        self._asking = asyncio.Lock()
        self._asked: set[asyncio.Task[Any]] = set()
        channel._on_deliver_frame = self._on_deliver  # type: ignore[assignment]
        channel.on_consumer_cancel_callbacks.add(self._on_cancelled)
        channel.closing.add_done_callback(self._on_closed)

    @property
    def is_open(self) -> bool:
        return not self._is_broken and not self._channel.is_closed and self._line.is_open

    @property
    def reason(self) -> BaseException | None:
        """Why the server has closed the channel, if it has."""
        closing = self._channel.closing
        return closing.exception() if closing.done() and not closing.cancelled() else None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def _on_cancelled(self, _: object) -> None:
        """The queue was deleted, or has moved."""
        self._is_broken = True
        self._on_news()

    def _on_closed(self, closing: asyncio.Future[Any]) -> None:
        if not closing.cancelled():
            closing.exception()
        self._on_news()

    async def _on_deliver(self, told: Basic.Deliver) -> None:
        """In the place of the library's own, which makes a task of each message, and drops what is on its way when a
        consumer is cancelled.
        """
        header = await self._channel._get_frame()
        assert isinstance(header, ContentHeader)
        body = b""
        while len(body) < header.body_size:
            content = await self._channel._get_frame()
            assert isinstance(content, ContentBody)
            body = body + content.value if body else content.value
        held = self._read(DeliveredMessage(delivery=told, header=header, body=body, channel=self._channel))
        self._waiting.append(held)
        self._pushed += held.consumer in self._prefetch_of
        self._on_news()

    def _read(self, delivered: DeliveredMessage) -> Held:
        told = delivered.delivery
        assert isinstance(told, Basic.Deliver | Basic.GetOk)
        assert told.delivery_tag is not None
        consumer = told.consumer_tag if isinstance(told, Basic.Deliver) else None
        held = Held(told.delivery_tag, *message_of(delivered), consumer, asyncio.get_running_loop().time())
        is_in_order = not self._held or next(reversed(self._held)) < held.tag
        self._held[held.tag] = held
        if not is_in_order:
            self._held = dict(sorted(self._held.items()))
        return held

    def take(self, limit: int) -> list[Held]:
        """Up to so many that wait here, each with a lease of its own."""
        taken = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
        ends_at = self._clock() + self._lease_seconds
        for held in taken:
            self._leases += 1
            held.lease, held.ends_at = self._leases, ends_at
        return taken

    def extend(self, held: Held) -> None:
        held.ends_at = self._clock() + self._lease_seconds

    def put_back(self, helds: Iterable[Held]) -> None:
        """They were not begun: the next who asks here gets them, before all others."""
        now = asyncio.get_running_loop().time()
        for held in helds:
            held.lease, held.since = 0, now
            self._waiting.append(held)
        self._waiting = deque(sorted(self._waiting, key=lambda held: held.tag))
        self._on_news()

    def take_idle(self, seconds: float) -> list[Held]:
        """What has waited here for so long that another process might be faster; nobody has a lease of it."""
        born_before = asyncio.get_running_loop().time() - seconds
        idle = [held for held in self._waiting if held.since <= born_before]
        if idle:
            self._waiting = deque(held for held in self._waiting if held.since > born_before)
        return idle

    async def fetch(self, limit: int) -> list[Held]:
        """Takes what can be had at once, up to so many. Raises StoreUnavailable."""
        fetching = self._begin(self._fetch(limit))
        try:
            return await asyncio.shield(fetching)
        except asyncio.CancelledError:
            fetching.add_done_callback(self._put_back_fetched)
            raise

    def _put_back_fetched(self, fetching: asyncio.Task[list[Held]]) -> None:
        if not fetching.cancelled() and fetching.exception() is None:
            self.put_back(fetching.result())

    async def _fetch(self, limit: int) -> list[Held]:
        async with self._asking:
            self._is_fetching = True
            try:
                while len(self._waiting) < limit:
                    delivered = await self._ask(self._channel.basic_get(self.name))
                    if not isinstance(delivered.delivery, Basic.GetOk):
                        break
                    self._waiting.append(self._read(delivered))
                if self._prefetch_of:  # what was pushed before that answer has come before this one
                    await self._ask(self._channel.queue_declare(self.name, passive=True))
                return self.take(limit)
            finally:
                self._is_fetching = False

    async def listen(self, wanted: int) -> None:
        """Has the server push until `wanted` more than now are here. Raises StoreUnavailable."""
        if self._missing(wanted):
            await asyncio.shield(self._begin(self._listen(wanted)))

    def _missing(self, wanted: int) -> int:
        prefetch = sum(self._prefetch_of.values())
        return max(min(wanted - (prefetch - self._pushed), PREFETCH_MAX - prefetch), 0)

    async def _listen(self, wanted: int) -> None:
        """Another consumer beside those that there are: what is on its way to one that is cancelled would come back to
        the queue, and be counted as a death.
        """
        async with self._asking:
            missing = self._missing(wanted)
            if not missing:
                return
            await self._ask(self._channel.basic_qos(prefetch_count=missing))
            self._leases += 1
            consumer = f"{self.name}.{self._leases}"[-200:]
            self._prefetch_of[consumer] = missing
            consuming = self._channel.basic_consume(
                self.name, _unused, consumer_tag=consumer, arguments=self._arguments
            )
            await self._ask(consuming)

    async def rest(self) -> None:
        """Nothing more is pushed until the next `listen`."""
        await asyncio.shield(self._begin(self._rest()))

    async def _rest(self) -> None:
        async with self._asking:
            await self._stop_listening()

    async def _stop_listening(self) -> None:
        consumers, self._prefetch_of, self._pushed = self._prefetch_of, {}, 0
        for consumer in consumers:
            await self._ask(self._channel.basic_cancel(consumer))

    async def _ask(self, question: Awaitable[T]) -> T:
        """Raises StoreUnavailable; then this is at its end, because nobody knows what the server has understood."""
        try:
            return await self._line.ask(question)
        except BaseException:
            self._is_broken = True
            self._line.abandon(self._channel)
            self._on_news()
            raise

    def _begin(self, asking: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Whoever stops waiting for it leaves the conversation with the server in order."""
        task = asyncio.create_task(asking)
        self._asked.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()

    async def end_leases(self) -> None:
        """Gives back what nobody has extended in time; the server counts that."""
        now = self._clock()
        ended = [held for held in self._held.values() if held.lease and held.ends_at <= now]
        if ended:
            await self.reject(ended)

    async def ack(self, helds: Sequence[Held]) -> None:
        """Done with them for good. Raises StoreUnavailable."""
        await self._settle(helds, lambda tag, multiple: Basic.Ack(delivery_tag=tag, multiple=multiple))

    async def reject(self, helds: Sequence[Held]) -> None:
        """To be handed out again, and counted as a delivery that ended in silence. Raises StoreUnavailable."""
        await self._settle(helds, lambda tag, _: Basic.Reject(delivery_tag=tag, requeue=True), one_by_one=True)

    async def _settle(
        self, helds: Sequence[Held], frame: Callable[[int, bool], Frame], *, one_by_one: bool = False
    ) -> None:
        tags = {held.tag for held in helds} & self._held.keys()
        if not self.is_open or not tags:
            return
        frames = []
        if not one_by_one and not self._is_fetching:
            last = 0
            for tag in self._held:  # in order: what lies before the first that stays can go with one frame
                if tag not in tags:
                    break
                last = tag
            if last:
                frames.append(frame(last, True))
                tags_left = {tag for tag in tags if tag > last}
            else:
                tags_left = tags
        else:
            tags_left = tags
        frames += [frame(tag, False) for tag in sorted(tags_left)]
        for tag in tags:
            held = self._held.pop(tag)
            held.lease = 0
            self._pushed -= held.consumer in self._prefetch_of
        written = ChannelFrame.marshall(channel_number=self._channel.number, frames=frames)
        await self._ask(self._channel.write_queue.put(written))

    def close(self) -> None:
        """Leaves the channel to its end; whoever waits for it hears nothing more of it."""
        self._on_news = _nothing


def _nothing() -> None: ...


async def _unused(_: DeliveredMessage) -> None:
    """The library wants a callback for each consumer; `_on_deliver` sees to all of them."""
