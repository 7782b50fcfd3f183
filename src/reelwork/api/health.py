"""Whether this process is up, and whether what it stands on answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter, HTTPException

from reelwork.api.models import Health
from reelwork.api.slots import RETRY_AFTER_SECONDS
from reelwork.api.state import AppState
from reelwork.errors import StoreUnavailable

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Health:
    """This process is up; needs no token."""
    return Health(status="ok")


@router.get("/readyz")
async def readyz(state: AppState) -> Health:
    """The ledger, the broker and the object store answer, else 503 with the name of what does not; needs no token."""
    backends = state.backends
    complaints = await asyncio.gather(
        _complaint("the ledger", asyncio.to_thread(backends.ledger.ping)),
        _complaint("the broker", backends.broker.ping()),
        _complaint("the object store", asyncio.to_thread(backends.objects.ping)),
    )
    down = [complaint for complaint in complaints if complaint]
    if down:
        raise HTTPException(503, "; ".join(down), headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return Health(status="ready")


async def _complaint(name: str, answer: Awaitable[object]) -> str | None:
    try:
        await answer
    except StoreUnavailable as error:
        return f"{name} is down: {error}"
    return None
