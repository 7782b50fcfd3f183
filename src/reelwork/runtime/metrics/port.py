"""The port of a worker: `/healthz`, `/readyz` and `/metrics` for all of its processes, and nothing else.

A few lines of HTTP, so that a machine that only works needs no web server. It shows names and counts, never ids, and
reads at most the head of a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import structlog

from reelwork.runtime.backends import Backends
from reelwork.runtime.metrics.page import MetricsMissing, render
from reelwork.runtime.readiness import unreadiness

HEAD_BYTES_MAX: Final = 16 * 1024
REQUEST_SECONDS_MAX: Final = 30.0
CONNECTIONS_MAX: Final = 32
REASONS: Final = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 501: "Not Implemented"}
TEXT: Final = "text/plain; charset=utf-8"

log = structlog.get_logger("reelwork.port")


class Answer(NamedTuple):
    status: int
    body: bytes
    content_type: str = TEXT


class WorkerPort:
    """backends: None until they are open."""

    def __init__(self) -> None:
        self.backends: Backends | None = None
        self._connections = asyncio.Semaphore(CONNECTIONS_MAX)

    async def answer(self, path: str, accept: str) -> Answer:
        """To a GET."""
        if path == "/healthz":
            return Answer(200, b"ok\n")
        if path == "/readyz":
            reason = await self._unreadiness()
            return Answer(200, b"ready\n") if reason is None else Answer(503, f"{reason}\n".encode())
        if path == "/metrics":
            return await asyncio.to_thread(self._metrics, accept)
        return Answer(404, b"there are /healthz, /readyz and /metrics\n")

    async def _unreadiness(self) -> str | None:
        if self.backends is None:
            return "starting: a back end is waited for"
        return self.backends.crew.complaint() or await unreadiness(self.backends)

    def _metrics(self, accept: str) -> Answer:
        backends = self.backends
        queues = [] if backends is None else backends.broker.topology.all_queues()
        try:
            page = render(accept, queues=queues, crew=None if backends is None else backends.crew)
        except MetricsMissing as error:
            return Answer(501, f"{error}\n".encode())
        return Answer(200, page.body, page.content_type)

    @contextlib.asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncIterator[None]:
        """Answers during the block."""
        server = await asyncio.start_server(self._serve, sock=listener, limit=HEAD_BYTES_MAX)
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; whoever sends half of one, or too much, is left."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS_MAX), self._connections:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                writer.write(_response(await self._to(head)))
                await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass
        except Exception as error:  # a question must not stop the work
            log.exception("reelwork.port.failed", error=str(error))
        finally:
            writer.close()

    async def _to(self, head: str) -> Answer:
        request, *lines = head.split("\r\n")
        method, _, rest = request.partition(" ")
        if method != "GET":
            return Answer(405, b"only GET is answered\n")
        headers = dict(line.lower().split(":", 1) for line in lines if ":" in line)
        return await self.answer(rest.partition(" ")[0].partition("?")[0], headers.get("accept", "").strip())


def _response(answer: Answer) -> bytes:
    status = f"{answer.status} {REASONS.get(answer.status, 'Service Unavailable')}"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}\r\n"
    return (head + "Cache-Control: no-store\r\nConnection: close\r\n\r\n").encode("latin-1") + answer.body
