"""Sends, deletes and hides messages ten at a time. Each entry of a batch has an outcome of its own, and is seen to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reelwork.broker.sqs.envelope import MESSAGE_BYTES_MAX, size_of
from reelwork.broker.sqs.service import SqsService
from reelwork.errors import StoreUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_sqs.type_defs import BatchResultErrorEntryTypeDef, SendMessageBatchRequestEntryTypeDef

ENTRIES_MAX: Final = 10
BATCHES_AT_ONCE: Final = 8
ENTRY_PAUSES_SECONDS: Final = (0.1, 0.5)
"""Between the tries of those entries of a batch that SQS could not see to."""
Failures = list[tuple[int, "BatchResultErrorEntryTypeDef"]]
Ask = Callable[[Sequence[Any]], Awaitable[Any]]
T = TypeVar("T")


class Post:
    def __init__(self, service: SqsService) -> None:
        self._service = service
        self._at_once = asyncio.Semaphore(BATCHES_AT_ONCE)

    async def send(self, url: str, entries: Sequence[SendMessageBatchRequestEntryTypeDef]) -> None:
        """Returns when SQS has confirmed every entry. Raises StoreUnavailable; then some may have been sent."""

        async def ask(numbered: Sequence[SendMessageBatchRequestEntryTypeDef]) -> Any:
            return await self._service.ask(
                lambda client: client.send_message_batch(QueueUrl=url, Entries=list(numbered))
            )

        for _, failure in await self._each(_mailbags(entries), ask):
            raise StoreUnavailable(f"the broker refuses a message: {failure['Code']}: {failure.get('Message', '')}")

    async def delete(self, url: str, receipts: Sequence[str]) -> None:
        """One that was handed out again meanwhile stays. Raises StoreUnavailable."""

        async def ask(numbered: Sequence[Any]) -> Any:
            return await self._service.ask(
                lambda client: client.delete_message_batch(QueueUrl=url, Entries=list(numbered))
            )

        await self._each(_tens([{"ReceiptHandle": receipt} for receipt in receipts]), ask)

    async def hide(self, url: str, receipts: Sequence[str], seconds: int) -> set[int]:
        """Keeps them from all others from now on, for so long. Gives the places of those that are not ours any more.

        Raises StoreUnavailable.
        """

        async def ask(numbered: Sequence[Any]) -> Any:
            return await self._service.ask(
                lambda client: client.change_message_visibility_batch(QueueUrl=url, Entries=list(numbered))
            )

        given = [{"ReceiptHandle": receipt, "VisibilityTimeout": seconds} for receipt in receipts]
        return {place for place, _ in await self._each(_tens(given), ask)}

    async def _each(self, bags: Iterable[Sequence[tuple[int, Any]]], ask: Ask) -> Failures:
        """What SQS refused for good, by the places that they had at first."""
        sent = await asyncio.gather(*(self._see_through(bag, ask) for bag in bags), return_exceptions=True)
        failures: Failures = []
        for result in sent:
            if isinstance(result, BaseException):
                raise result
            failures += result
        return failures

    async def _see_through(self, bag: Sequence[tuple[int, Any]], ask: Ask) -> Failures:
        entries = {str(place): {**entry, "Id": str(place)} for place, entry in bag}
        refused: Failures = []
        for pause in (*ENTRY_PAUSES_SECONDS, None):
            async with self._at_once:
                failed = (await ask(list(entries.values()))).get("Failed", [])
            refused += [(int(failure["Id"]), failure) for failure in failed if failure["SenderFault"]]
            entries = {failure["Id"]: entries[failure["Id"]] for failure in failed if not failure["SenderFault"]}
            if not entries:
                break
            if pause is None:
                code = next(failure["Code"] for failure in failed if not failure["SenderFault"])
                raise StoreUnavailable(f"the broker has not seen to {len(entries)} messages of a batch: {code}")
            await asyncio.sleep(pause)
        return refused


def _tens(entries: Sequence[T]) -> Iterator[Sequence[tuple[int, T]]]:
    numbered = list(enumerate(entries))
    for first in range(0, len(numbered), ENTRIES_MAX):
        yield numbered[first : first + ENTRIES_MAX]


def _mailbags(
    entries: Sequence[SendMessageBatchRequestEntryTypeDef],
) -> Iterator[Sequence[tuple[int, SendMessageBatchRequestEntryTypeDef]]]:
    """As many in each as one request carries."""
    bag: list[tuple[int, SendMessageBatchRequestEntryTypeDef]] = []
    bag_bytes = 0
    for place, entry in enumerate(entries):
        entry_bytes = size_of(entry)
        if bag and (len(bag) == ENTRIES_MAX or bag_bytes + entry_bytes > MESSAGE_BYTES_MAX):
            yield bag
            bag, bag_bytes = [], 0
        bag.append((place, entry))
        bag_bytes += entry_bytes
    if bag:
        yield bag
