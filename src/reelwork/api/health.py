"""Whether this process is up, and whether what it stands on answers."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException

from reelwork.api.models import Health
from reelwork.api.slots import RETRY_AFTER_SECONDS
from reelwork.api.state import AppState
from reelwork.runtime.crew import DRAINING
from reelwork.runtime.readiness import unreadiness

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Health:
    """This process is up; needs no token."""
    return Health(status="ok")


@router.get("/readyz")
async def readyz(state: AppState) -> Health:
    """The ledger, the broker and the object store answer, else 503 with the name of what does not; needs no token."""
    down = DRAINING if state.backends.crew.is_draining else await unreadiness(state.backends)
    if down:
        raise HTTPException(503, down, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    return Health(status="ready")
