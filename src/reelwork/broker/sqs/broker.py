"""Queues in Amazon SQS: standard queues, batches of ten, one long request for each queue that is waited for.

SQS counts every time that it hands a message out, and nothing can be written on a message that was sent. So a retry,
and what was not begun, goes back as a copy that says how often its worker may have died, and then the first is deleted
(docs/decisions/0013).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from reelwork.broker.base import DEFAULT_LEASE_SECONDS, Broker, Delivery, Depth, Topology
from reelwork.broker.rings import Rings
from reelwork.broker.sqs.address import SqsAddress
from reelwork.broker.sqs.envelope import entry_of
from reelwork.broker.sqs.foreign import Foreign
from reelwork.broker.sqs.intake import Held, Intake
from reelwork.broker.sqs.post import ENTRIES_MAX, Post
from reelwork.broker.sqs.queues import Queues
from reelwork.broker.sqs.service import QueueMissing, Refused, SqsService
from reelwork.database import EVERYBODY
from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.message import Message

if TYPE_CHECKING:
    from types_aiobotocore_sqs.literals import QueueAttributeNameType

DELAY_SECONDS_MAX: Final = 900
HIDDEN_SECONDS_MAX: Final = 43_200
"""A message can be kept from all others no longer than this after it was handed out, however often that is renewed."""
IDLE_SECONDS_MAX: Final = 0.5
"""So long may a message lie in this process before another gets it."""
TEND_SECONDS: Final = 0.1
CLOSE_SECONDS_MAX: Final = 5.0
GIVEN_UP_EVERY_SECONDS: Final = 60.0
"""Between looks at the dead-letter queues: SQS is paid by the request."""
COUNTS: Final[Sequence[QueueAttributeNameType]] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)
GIVEN_UP_WAIT_SECONDS: Final = 1
"""A request that does not wait asks only some of the servers of SQS, and finds little where there is little."""

log = structlog.get_logger("reelwork.broker")


class SqsBroker(Broker):
    """url: `sqs://PREFIX`. region, endpoint: where it names none. queue_urls: of queues that have names of their own.
    clock: seconds, of leases, for tests. lease_seconds: SQS counts whole ones.
    """

    def __init__(
        self,
        url: str,
        *,
        region: str | None = None,
        endpoint: str | None = None,
        queue_urls: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
    ) -> None:
        self._address = SqsAddress.of(url, region=region, endpoint=endpoint, queue_urls=queue_urls)
        self.name = self._address.shown
        self._lease_seconds = min(max(math.ceil(lease_seconds), 1), HIDDEN_SECONDS_MAX)
        self._clock = clock
        self._service = SqsService(self._address)
        self._post = Post(self._service)
        self._queues = Queues(self._service, self._address)
        self._bell = Rings()
        self._interruptions = 0
        self._intakes: dict[str, Intake] = {}
        self._dead: dict[str, Intake] = {}
        self._given_up_looked_at = -math.inf
        self._tending: asyncio.Task[None] | None = None

    @property
    def lease_seconds(self) -> float:
        return self._lease_seconds

    async def declare(self, topology: Topology) -> None:
        """Raises ConfigurationError for queues that are missing and for credentials, StoreUnavailable."""
        await super().declare(topology)
        try:
            if topology.bindings:
                await self._queues.declare(topology.all_queues())
            else:
                await self.ping()
        except Refused as error:
            raise ConfigurationError(str(error)) from error

    async def check_queues(self, topology: Topology) -> None:
        if not self._address.creates:
            await self._queues.declare(topology.all_queues())

    def check_handling(self, seconds: float) -> None:
        if seconds >= HIDDEN_SECONDS_MAX:
            raise ConfigurationError(
                f"a handler may take {seconds:g} s, and SQS hands a message out again after {HIDDEN_SECONDS_MAX} s: "
                "set REELWORK_HANDLER_TIMEOUT_SECONDS lower"
            )

    async def publish(self, messages: Sequence[Message]) -> None:
        by_queue: dict[str, list[Message]] = {}
        for message in messages:
            queues = self.topology.queues(message.topic) if message.queue is None else [message.queue]
            for queue in queues:
                by_queue.setdefault(queue, []).append(message)
        sending = [self._send(queue, own) for queue, own in by_queue.items()]
        for result in await asyncio.gather(*sending, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _send(self, queue: str, messages: Sequence[Message]) -> None:
        entries = [entry_of(message, traceparent=self.traceparent(message)) for message in messages]
        try:
            try:
                await self._post.send(await self._queues.url(queue), entries)
            except QueueMissing:  # somebody has deleted it; where that is allowed it is made again
                self._queues.forget(queue)
                await self._post.send(await self._queues.url(queue), entries)
        except QueueMissing:
            if queue in self.topology.all_queues():
                raise
            # A replay for a service that is gone: the outbox has it still, and must not keep all others waiting.
            log.warning("reelwork.broker.queue_unknown", broker=self.name, queue=queue, messages=len(messages))

    async def receive(self, queue: str, *, limit: int, wait_seconds: float) -> list[Delivery]:
        intake = await self._intake(queue)
        try:
            if wait_seconds <= 0:
                taken = await intake.fetch(limit)
            else:
                taken = await self._filled(intake, await self._wait(queue, intake, limit, wait_seconds), limit)
        except QueueMissing:
            self._forget(queue)
            raise
        return [self._delivery(queue, intake, held) for held in taken]

    @staticmethod
    async def _filled(intake: Intake, taken: list[Held], limit: int) -> list[Held]:
        """With more of it, where the last request has brought as much as it could."""
        if not 0 < len(taken) < limit or not intake.may_have_more:
            return taken
        try:
            return taken + await intake.fetch(limit - len(taken))
        except StoreUnavailable:
            return taken
        except BaseException:
            intake.put_back(taken)
            raise

    async def _wait(self, queue: str, intake: Intake, limit: int, wait_seconds: float) -> list[Held]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        interruptions = self._interruptions
        while True:
            rings = self._bell.rings(queue)
            if taken := await intake.take(limit):
                return taken
            intake.tell_trouble()
            remaining = deadline - loop.time()
            if remaining <= 0:
                return []
            if self._interruptions == interruptions:
                intake.listen(limit)
                await self._bell.wait(queue, rings, remaining)
            elif not await intake.settle():
                return []

    def interrupt(self) -> None:
        self._interruptions += 1
        self._bell.ring([EVERYBODY])

    async def _intake(self, queue: str) -> Intake:
        """What takes from the queue. Raises StoreUnavailable."""
        url = await self._queues.url(queue)
        intake = self._intakes.get(queue)
        if intake is None:
            intake = self._intakes[queue] = self._open(queue, url)
        return intake

    def _open(self, queue: str, url: str) -> Intake:
        if self._tending is None or self._tending.done():
            self._tending = asyncio.create_task(self._tend())
        topics = [topic for topic, queues in self.topology.bindings.items() if queue in queues]
        return Intake(
            url,
            self._service,
            self._post,
            clock=self._clock,
            lease_seconds=self._lease_seconds,
            poll_seconds=self._address.poll_seconds,
            foreign=Foreign(self._post, url, topics[0] if len(topics) == 1 else ""),
            on_news=lambda: self._bell.ring([queue]),
        )

    def _forget(self, queue: str) -> None:
        self._queues.forget(queue)
        self._intakes.pop(queue, None)
        self._dead.pop(queue, None)

    def _delivery(self, queue: str, intake: Intake, held: Held) -> Delivery:
        return SqsDelivery(
            queue=queue,
            message=held.message,
            deliveries=held.deliveries,
            attempts=held.attempts,
            lease_seconds=self._lease_seconds,
            broker=self,
            intake=intake,
            held=held,
            lease=held.lease,
        )

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        for intake, helds in self._by_intake(deliveries):
            await self._end(intake, helds)

    async def _end(self, intake: Intake, helds: Sequence[Held]) -> None:
        """Deletes them. Raises StoreUnavailable; then they are still in the hands that they were in."""
        leases = [held.lease for held in helds]
        for held in helds:
            held.lease = 0
        try:
            await self._post.delete(intake.url, [held.receipt for held in helds])
        except BaseException:
            for held, lease in zip(helds, leases, strict=True):
                held.lease = lease
            raise

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        for intake, helds in self._by_intake(deliveries):
            await intake.renew(helds)

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        for intake, helds in self._by_intake(deliveries):
            intake.put_back(helds)

    async def retry(self, delivery: SqsDelivery, after_seconds: float) -> None:
        """As `Delivery.retry`: sent again, and when that is confirmed, deleted."""
        held, attempts = delivery.held, delivery.attempts + 1
        delay_seconds = min(max(math.ceil(after_seconds), 0), DELAY_SECONDS_MAX)
        traceparent = self.traceparent(held.message)
        again = entry_of(
            held.message, attempts=attempts, earlier=attempts, traceparent=traceparent, delay_seconds=delay_seconds
        )
        held.lease = 0
        try:
            await self._post.send(delivery.intake.url, [again])
        except BaseException:
            held.lease = delivery.lease
            raise
        await self._end(delivery.intake, [held])

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND_SECONDS)
            await self.hand_on(IDLE_SECONDS_MAX)

    async def hand_on(self, idle_seconds: float) -> None:
        """Gives back what nobody here has taken for so long; where that fails their leases end."""
        for intake in [*self._intakes.values()]:
            try:
                await self._give_back(intake, intake.take_idle(idle_seconds))
            except StoreUnavailable as error:
                log.warning("reelwork.broker.hand_on_failed", broker=self.name, error=str(error))
            except Exception as error:  # the others are to be given back all the same
                log.exception("reelwork.broker.hand_on_failed", broker=self.name, error=str(error))

    async def _give_back(self, intake: Intake, helds: Sequence[Held]) -> None:
        """Has another process take what was not begun, as if it had never been handed out."""
        if not helds:
            return
        entries = [
            entry_of(
                held.message,
                attempts=held.attempts,
                earlier=held.deliveries - 1,
                traceparent=self.traceparent(held.message),
            )
            for held in helds
        ]
        await self._post.send(intake.url, entries)
        await self._post.delete(intake.url, [held.receipt for held in helds])

    async def holds(self, job_id: str, queues: Iterable[str]) -> bool:  # noqa: ARG002
        """Never: a queue of SQS cannot be looked into. The outbox of the ledger knows what was not consumed."""
        return False

    async def given_up(self, *, limit: int) -> list[Delivery]:
        """At most once a minute; in between there is nothing to be told."""
        now = asyncio.get_running_loop().time()
        if now - self._given_up_looked_at < GIVEN_UP_EVERY_SECONDS:
            return []
        self._given_up_looked_at = now
        looking = [self._given_up_of(queue) for queue in self.topology.all_queues()]
        results = await asyncio.gather(*looking, return_exceptions=True)
        found = [delivery for result in results if isinstance(result, list) for delivery in result]
        troubles = [result for result in results if isinstance(result, BaseException)]
        if troubles and not found:
            raise troubles[0]
        await self.release(found[limit:])
        return found[:limit]

    async def _given_up_of(self, queue: str) -> list[Delivery]:
        if queue not in self._dead:
            try:
                url = await self._queues.dead_url(queue)
            except QueueMissing:
                return []
            self._dead[queue] = self._open(queue, url)
        intake = self._dead[queue]
        helds = await intake.fetch(ENTRIES_MAX, wait_seconds=GIVEN_UP_WAIT_SECONDS)
        return [self._delivery(queue, intake, held) for held in helds]

    async def depths(self) -> Mapping[str, Depth]:
        queues = self.topology.all_queues()
        return dict(zip(queues, await asyncio.gather(*map(self._depth, queues)), strict=True))

    async def _depth(self, queue: str) -> Depth:
        """As SQS has counted lately; it does not tell how old the oldest is."""
        url = await self._queues.known_url(queue)
        if url is None:
            return Depth(0, None, None)
        told = await self._service.ask(
            lambda client: client.get_queue_attributes(QueueUrl=url, AttributeNames=[*COUNTS])
        )
        visible, delayed, in_hand = (int(told["Attributes"].get(name, "0")) for name in COUNTS)
        here = self._intakes[queue].waiting if queue in self._intakes else 0
        return Depth(visible + delayed + here, max(in_hand - here, 0), None)

    async def ping(self) -> None:
        await self._queues.ping(next(iter(self.topology.all_queues()), None))

    async def close(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
        intakes = [*self._intakes.values(), *self._dead.values()]
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await asyncio.gather(*map(self._leave, intakes), return_exceptions=True)
        except TimeoutError:
            log.warning("reelwork.broker.close_timeout", broker=self.name)
        await self._service.close()

    async def _leave(self, intake: Intake) -> None:
        await intake.rest()
        await self._give_back(intake, intake.take_idle(0))

    def _by_intake(self, deliveries: Sequence[Delivery]) -> Iterable[tuple[Intake, list[Held]]]:
        """What still is in these hands, by what it came through."""
        helds: dict[Intake, list[Held]] = {}
        for delivery in deliveries:
            if isinstance(delivery, SqsDelivery) and self.is_held(delivery):
                helds.setdefault(delivery.intake, []).append(delivery.held)
        return helds.items()

    def is_held(self, delivery: SqsDelivery) -> bool:
        """SQS would let somebody go on with a message whose lease has ended, if nobody else has it yet."""
        return delivery.held.lease == delivery.lease and self._clock() < delivery.held.ends_at


@dataclass(slots=True, kw_only=True)
class SqsDelivery(Delivery):
    """lease: of these hands; a message that was handed out again has another."""

    broker: SqsBroker
    intake: Intake
    held: Held
    lease: int

    async def ack(self) -> None:
        await self.broker.ack([self])

    async def retry(self, after_seconds: float) -> None:
        if self.broker.is_held(self):
            await self.broker.retry(self, after_seconds)

    async def release(self) -> None:
        await self.broker.release([self])

    async def extend(self) -> bool:
        await self.broker.extend([self])
        return self.broker.is_held(self)
