"""Whether what a process stands on answers: the ledger, the broker, the object store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Final

from reelwork.errors import StoreUnavailable
from reelwork.runtime.backends import Backends

ANSWER_SECONDS_MAX: Final = 10.0


async def complaints(backends: Backends) -> Mapping[str, str | None]:
    """By the name of the back end, what is wrong with it; None for one that answers."""
    asked = {
        "ledger": asyncio.to_thread(backends.ledger.ping),
        "broker": backends.broker.ping(),
        "object store": asyncio.to_thread(backends.objects.ping),
    }
    return dict(zip(asked, await asyncio.gather(*map(_complaint, asked.values())), strict=True))


async def unreadiness(backends: Backends) -> str | None:
    """What keeps the process from being ready, in a sentence; None when nothing does."""
    told = await complaints(backends)
    return "; ".join(f"the {name} is down: {error}" for name, error in told.items() if error) or None


async def _complaint(answer: Awaitable[object]) -> str | None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await answer
    except StoreUnavailable as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {ANSWER_SECONDS_MAX:g} s"
    return None
