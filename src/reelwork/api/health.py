"""Whether this process is up, and whether what it stands on answers."""

from __future__ import annotations

from collections.abc import Callable

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
def readyz(state: AppState) -> Health:
    """The ledger and the object store answer, else 503 with the name of what does not; needs no token."""
    backends = state.backends
    down = [
        *_complaint("the ledger", backends.ledger.ping),
        *_complaint("the object store", backends.objects.ping),
    ]
    if down:
        raise HTTPException(503, "; ".join(down), headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return Health(status="ready")


def _complaint(name: str, ask: Callable[[], object]) -> list[str]:
    try:
        ask()
    except StoreUnavailable as error:
        return [f"{name} is down: {error}"]
    return []
