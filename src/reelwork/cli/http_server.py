"""The API's HTTP server as one part of a larger process: it neither handles signals nor starts a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import uvicorn

if TYPE_CHECKING:
    from fastapi import FastAPI

OPEN_CONNECTIONS_SECONDS: Final = 5
"""How long answers under way may take once the server is to stop."""


class HttpServer(uvicorn.Server):
    """Serves `app` until `stop`, and says when it listens."""

    def __init__(self, app: FastAPI, *, stop: asyncio.Event, on_listening: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                log_level="warning",
                timeout_graceful_shutdown=OPEN_CONNECTIONS_SECONDS,
            )
        )
        self._app = app
        self._stop = stop
        self._on_listening = on_listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.reelwork.event_streams_end = True
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        return self._stop.is_set() or await super().on_tick(counter)
