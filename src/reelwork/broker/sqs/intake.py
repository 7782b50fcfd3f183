"""What this process has taken from one queue and not yet handed out, and the request that waits for more.

A request that waits at SQS goes on when whoever waited for it has left: cut off, it would take messages with it that
come just then. What it brings lies here until somebody asks, or is given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from reelwork.broker.sqs.envelope import Received, received
from reelwork.broker.sqs.foreign import Foreign
from reelwork.broker.sqs.post import ENTRIES_MAX, Post
from reelwork.broker.sqs.service import ANSWER_SECONDS_MAX, SqsService
from reelwork.errors import StoreUnavailable
from reelwork.message import Message

WIDTHS: Final = (1, 1, 2, 4, 8)
"""How many requests go out at once, one round after the other, while each brings as much as it can."""
YOUNG_SECONDS: Final = 0.25
"""A request that finds messages answers sooner than this; older ones wait for what is not there yet."""
FRESH_SHARE: Final = 0.8
"""Of a lease: what has less left when it is handed out gets a new one first."""
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Held:
    """A message that SQS has handed to this process. lease: of whom it was given to here; 0 while it lies here, and
    when its end is on the way. since: when it came to lie here.
    """

    order: int
    receipt: str
    message: Message
    deliveries: int
    attempts: int
    ends_at: float
    since: float
    lease: int = 0


class Intake:
    """clock: seconds, for leases. foreign: reads what somebody else has sent. on_news: called when something has come,
    or the wait for it has ended.
    """

    def __init__(
        self,
        url: str,
        service: SqsService,
        post: Post,
        *,
        clock: Callable[[], float],
        lease_seconds: int,
        poll_seconds: int,
        foreign: Foreign,
        on_news: Callable[[], None],
    ) -> None:
        self.url = url
        self._service = service
        self._post = post
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._foreign = foreign
        self._on_news = on_news
        self._waiting: list[Held] = []
        self._came = 0
        self._leases = 0
        self._fetching = asyncio.Lock()
        self._asked: set[asyncio.Task[Any]] = set()
        self._poll: asyncio.Task[None] | None = None
        self._poll_began = 0.0
        self._trouble: Exception | None = None
        self.may_have_more = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def take(self, limit: int) -> list[Held]:
        """Up to so many that lie here, each with a lease of its own. Raises StoreUnavailable."""
        now = self._clock()
        waiting = [held for held in self._waiting if held.ends_at > now]
        taken, self._waiting = waiting[:limit], waiting[limit:]
        ageing = [held for held in taken if held.ends_at - now < self._lease_seconds * FRESH_SHARE]
        if ageing:
            try:
                await self.renew(ageing)
            except BaseException:
                self.put_back(taken)
                raise
        taken = [held for held in taken if held.ends_at > now]
        for held in taken:
            self._leases += 1
            held.lease = self._leases
        return taken

    async def renew(self, helds: Sequence[Held]) -> None:
        """The leases of those that are somebody else's by now have ended. Raises StoreUnavailable."""
        now = self._clock()
        lost = await self._post.hide(self.url, [held.receipt for held in helds], self._lease_seconds)
        for place, held in enumerate(helds):
            held.ends_at = -math.inf if place in lost else now + self._lease_seconds

    def put_back(self, helds: Iterable[Held]) -> None:
        """They were not begun: the next who asks here gets them, before all others."""
        now = asyncio.get_running_loop().time()
        for held in helds:
            held.lease, held.since = 0, now
            self._waiting.append(held)
        self._waiting.sort(key=lambda held: held.order)
        self._on_news()

    def take_idle(self, seconds: float) -> list[Held]:
        """What has lain here for so long that another process might be faster; nobody has a lease of it."""
        born_before = asyncio.get_running_loop().time() - seconds
        idle = [held for held in self._waiting if held.since <= born_before]
        if idle:
            self._waiting = [held for held in self._waiting if held.since > born_before]
        now = self._clock()
        return [held for held in idle if held.ends_at > now]

    async def fetch(self, limit: int, *, wait_seconds: int = 0) -> list[Held]:
        """Takes what can be had, up to so many; the first request waits for so long. Raises StoreUnavailable."""
        fetching = self._begin(self._fetch(limit, wait_seconds))
        try:
            return await asyncio.shield(fetching)
        except asyncio.CancelledError:
            fetching.add_done_callback(self._put_back_fetched)
            raise

    def _put_back_fetched(self, fetching: asyncio.Task[list[Held]]) -> None:
        if not fetching.cancelled() and fetching.exception() is None:
            self.put_back(fetching.result())

    async def _fetch(self, limit: int, wait_seconds: int) -> list[Held]:
        async with self._fetching:
            round_number = 0
            while (missing := limit - len(self._waiting)) > 0:
                width = min(WIDTHS[min(round_number, len(WIDTHS) - 1)], -(-missing // ENTRIES_MAX))
                counts = [min(ENTRIES_MAX, missing - ENTRIES_MAX * number) for number in range(width)]
                asked = [self._receive(count, 0 if round_number else wait_seconds) for count in counts]
                brought = await asyncio.gather(*asked, return_exceptions=True)
                troubles = [each for each in brought if isinstance(each, BaseException)]
                if troubles and not self._waiting:
                    raise troubles[0]
                if troubles or brought != counts:
                    break
                round_number += 1
            return await self.take(limit)

    def listen(self, wanted: int) -> None:
        """Has one request wait at SQS. What it brings, its end and its trouble are news."""
        if self._poll is None:
            self._poll_began = asyncio.get_running_loop().time()
            self._poll = self._begin(self._wait_for_messages(min(wanted, ENTRIES_MAX)))

    async def _wait_for_messages(self, wanted: int) -> None:
        try:
            self.may_have_more = await self._receive(wanted, self._poll_seconds) == ENTRIES_MAX
        except Exception as error:  # whoever waits is to hear of it, whatever it is
            self._trouble = error
        finally:
            self._poll = None
            self._on_news()

    def tell_trouble(self) -> None:
        """Raises what has ended the last request that waited, once."""
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble

    async def settle(self) -> bool:
        """Waits for a request that may be bringing something; False when there is none that is so young."""
        if self._poll is None:
            return False
        left = self._poll_began + YOUNG_SECONDS - asyncio.get_running_loop().time()
        return left > 0 and bool((await asyncio.wait({self._poll}, timeout=left))[0])

    async def _receive(self, count: int, wait_seconds: int) -> int:
        """How many messages it brought to lie here. Raises StoreUnavailable."""
        answer = await self._service.ask(
            lambda client: client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=count,
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=self._lease_seconds,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            ),
            seconds=ANSWER_SECONDS_MAX + wait_seconds,
        )
        given = [received(message) for message in answer.get("Messages", [])]
        now, ends_at = asyncio.get_running_loop().time(), self._clock() + self._lease_seconds
        for one in given:
            for each in [one] if one.is_ours else await self._sorted_out(one):
                self._came += 1
                self._waiting.append(
                    Held(self._came, each.receipt, each.message, each.deliveries, each.attempts, ends_at, now)
                )
        return len(given)

    async def _sorted_out(self, one: Received) -> Sequence[Received]:
        with contextlib.suppress(StoreUnavailable):  # it comes again, when its lease has ended
            return await self._foreign.sort_out(one)
        return []

    def _begin(self, asking: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Goes on when whoever began it stops waiting for it."""
        task = asyncio.create_task(asking)
        self._asked.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()

    async def rest(self) -> None:
        """Nothing comes any more. What a request brings that is cut off here comes again when its lease has ended."""
        await self.settle()
        asked = list(self._asked)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        self._on_news = _nothing


def _nothing() -> None: ...
