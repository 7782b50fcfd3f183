"""The ways a delivery can end, as the handling of plain events and of stages both need them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from dataclasses import replace
from functools import partial
from types import coroutine
from typing import Any, TypeVar, cast

from reelwork.broker import Delivery
from reelwork.errors import ContractViolation, ReelworkError
from reelwork.events import Event, validated
from reelwork.ledger import AssetState, Inbox, NewDeadLetter, Work
from reelwork.ledger.records import Known
from reelwork.runtime.declaration import Subscription

T = TypeVar("T")


class HandlerTimeout(Exception):
    """A handler ran longer than its timeout in a thread, which cannot be stopped: its process must be replaced."""


class AssetsFailed(Exception):
    """Some assets of a delivery failed in a way that trying again may mend.

    `failures` maps their ids to what happened.
    """

    def __init__(self, failures: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{asset_id}: {error}" for asset_id, error in failures.items()))
        self.failures = failures


def event_of(subscription: Subscription, delivery: Delivery) -> Event:
    """The event of a delivery.

    Raises ContractViolation for what does not belong into the queue or breaks its contract.
    """
    message, event_type = delivery.message, subscription.event_type
    if message.topic != event_type.topic:
        raise ContractViolation(f"{delivery.queue} takes {event_type.topic}, not {message.topic}")
    return validated(event_type, message.body)


def is_resolved(known: Known | None, *, is_replay: bool) -> bool:
    """Whether an asset needs no more work. A replay tries again what failed."""
    if known is None or known.state is AssetState.STARTED:
        return False
    return known.state is AssetState.DONE or not is_replay


def inbox_of(delivery: Delivery) -> Inbox:
    return Inbox(delivery.queue, delivery.message.event_id)


def with_receipt(work: Work, delivery: Delivery) -> Work:
    return work if delivery.receipt is None else replace(work, receipts=[delivery.receipt])


def unless_consumed(delivery: Delivery) -> Inbox | None:
    """A message that was consumed must not be given up by a copy of it; a replay comes for what was consumed."""
    return None if delivery.message.is_replay else inbox_of(delivery)


def dead_letter(delivery: Delivery, error: str, attempts: int, *, stage: str | None = None) -> NewDeadLetter:
    message = delivery.message
    return NewDeadLetter(
        job_id=message.job_id,
        queue=delivery.queue,
        topic=message.topic,
        event_id=message.event_id,
        body=message.body,
        error=error,
        attempts=attempts,
        stage=stage,
    )


def describe(error: BaseException) -> str:
    """An error for a person: our own say enough by themselves, others are named by their kind."""
    if isinstance(error, ReelworkError | HandlerTimeout | AssetsFailed):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def contained(handler: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a handler in a thread. One that leaves with SystemExit or the like fails like others; its process stays."""
    try:
        return handler(*arguments)
    except Exception:
        raise
    except BaseException as error:
        raise _left_with(error) from error


async def contained_coroutine(running: Awaitable[T]) -> T:
    """As `contained`; only a cancellation that comes from outside goes through."""
    try:
        return await running
    except Exception:
        raise
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        raise _left_with(error) from error


def _left_with(error: BaseException) -> RuntimeError:
    return RuntimeError(f"the handler left with {type(error).__name__}")


def run_inline(handler: Callable[..., Any], *arguments: Any) -> tuple[Any, Awaitable[Any] | None]:
    """Runs a coroutine handler as far as it goes without waiting: its result, or what is to be awaited for it.

    Most of what does not wait costs no more than a call this way: no task, no timer.
    """
    running = handler(*arguments)
    try:
        waits_for = running.send(None)
    except StopIteration as end:
        return end.value, None
    except Exception:
        raise
    except BaseException as error:
        raise _left_with(error) from error
    return None, contained_coroutine(_resumed(running, waits_for))


@coroutine
def _resumed(running: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """A coroutine that has been run up to its first wait already."""
    while True:
        try:
            heard = yield waits_for
        except GeneratorExit:
            running.close()
            raise
        except BaseException as error:
            step = partial(running.throw, error)
        else:
            step = partial(running.send, heard)
        try:
            waits_for = step()
        except StopIteration as end:
            return cast(T, end.value)


async def within(seconds: float, handler: Awaitable[T], *, queue: str) -> T:
    """Awaits a handler. Raises HandlerTimeout when it runs longer; a TimeoutError of its own stays what it is."""
    try:
        async with asyncio.timeout(seconds) as scope:
            return await handler
    except TimeoutError as error:
        if scope.expired():
            raise HandlerTimeout(f"the handler of {queue} ran longer than {seconds:g} s") from error
        raise
