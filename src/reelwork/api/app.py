"""The application: every endpoint behind one guard. It is served by `reelwork serve`, or by any ASGI server."""

from __future__ import annotations

from typing import Final

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from reelwork.api import artifacts, dead_letters, events, health, jobs, metrics, video
from reelwork.api.errors import handle_errors
from reelwork.api.models import ErrorBody
from reelwork.api.security import Guard, api_token
from reelwork.api.state import State
from reelwork.runtime.backends import Backends

API_VERSION: Final = "1.0.0"

in_the_documents = Depends(HTTPBearer(auto_error=False, description="REELWORK_API_TOKEN, where it is set."))
"""Only says in the OpenAPI document that there is a token; the guard looks at it."""


def create_app(backends: Backends) -> FastAPI:
    """The application on open back ends, which stay their opener's to close.

    `app.state.reelwork.event_streams_end = True` lets open event streams end, so that a server can stop.
    """
    app = bare_app()
    app.state.reelwork = State(backends)
    app.add_middleware(Guard, token=api_token(backends.config))
    return app


def bare_app() -> FastAPI:
    """The endpoints with nothing behind them: enough to describe them."""
    app = FastAPI(
        title="Reelwork",
        version=API_VERSION,
        description="Submit media jobs, watch them, read their results.",
        responses={"default": {"model": ErrorBody, "description": "Refused; the detail says why."}},
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    handle_errors(app)
    for room in (video, jobs, events, artifacts, dead_letters, metrics):
        app.include_router(room.router, dependencies=[in_the_documents])
    app.include_router(health.router)
    return app
