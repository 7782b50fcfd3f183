"""An HTTP proxy on this machine alone, for one download by a program that resolves names for itself.

Whatever that program follows (redirects, playlists, segments) comes through here, so the guard sees every connection,
and the limit of bytes holds for all of them together.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import threading
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from reelwork.errors import ReelworkError
from reelwork.pipelines.match.web.errors import DownloadRefused, DownloadTooLarge
from reelwork.pipelines.match.web.guard import UrlGuard, shown

HEAD_BYTES_MAX: Final = 1 << 16
HEAD_SECONDS_MAX: Final = 30.0
CONNECT_SECONDS_MAX: Final = 20.0
CHUNK_BYTES: Final = 1 << 16
PASSWORD_BYTES: Final = 16


class GuardProxy:
    """Runs in a thread of its own for the length of a `with` block. refusal: the first thing that it had to refuse."""

    def __init__(self, guard: UrlGuard, *, bytes_max: int) -> None:
        self.refusal: ReelworkError | None = None
        self._guard = guard
        self._bytes_max = bytes_max
        self._received_bytes = 0
        self._password = secrets.token_hex(PASSWORD_BYTES)
        self._port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="guard-proxy", daemon=True)

    @property
    def url(self) -> str:
        """With the password that keeps other programs on this machine out."""
        return f"http://reelwork:{self._password}@127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        connections: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._converse(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        try:
            server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
            self._port = server.sockets[0].getsockname()[1]
        finally:
            self._ready.set()
        await self._stop.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broken_off = (ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
        with contextlib.closing(writer), contextlib.suppress(*broken_off):
            try:
                async with asyncio.timeout(HEAD_SECONDS_MAX):
                    head = await reader.readuntil(b"\r\n\r\n")
                await self._answer(head, reader, writer)
            except ReelworkError as error:
                self.refusal = self.refusal or error
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *fields = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = (*request.split(" "), "", "")[:3]
        if not self._is_welcome(fields):
            writer.write(
                b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="reelwork"\r\n'
                b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            return
        url = f"https://{target}" if method == "CONNECT" else target
        self._guard.check_url(url)
        parts = urlsplit(url)
        port = parts.port or (443 if method == "CONNECT" else 80)
        if method != "CONNECT" and parts.scheme != "http":
            raise DownloadRefused(f"{shown(url)} is not an address that can be downloaded")
        there, here = await self._connect(parts.hostname or "", port)
        try:
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                here.write(_head_for_server(method, parts._replace(scheme="", netloc="").geturl() or "/", fields))
            await self._relay(reader, writer, there, here)
        finally:
            here.close()

    def _is_welcome(self, fields: list[str]) -> bool:
        expected = base64.b64encode(f"reelwork:{self._password}".encode()).decode()
        given = [
            field.partition(":")[2].split() for field in fields if field.lower().startswith("proxy-authorization:")
        ]
        return any(len(one) == 2 and secrets.compare_digest(one[1], expected) for one in given)

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        failure: OSError | None = None
        for address in await self._guard.addresses(host, port):
            try:
                async with asyncio.timeout(CONNECT_SECONDS_MAX):
                    return await asyncio.open_connection(address, port)
            except OSError as error:  # a timeout is one too
                failure = error
        raise ConnectionError(f"{host} cannot be reached") from failure

    async def _relay(
        self,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        """Both ways at once, until the server has nothing more to say."""
        upward = asyncio.ensure_future(_copy(client_reader, server_writer))
        try:
            while chunk := await server_reader.read(CHUNK_BYTES):
                self._received_bytes += len(chunk)
                if self._received_bytes > self._bytes_max:
                    self.refusal = self.refusal or DownloadTooLarge(
                        f"more than the {self._bytes_max} bytes that are allowed arrived; the download was stopped"
                    )
                    return
                client_writer.write(chunk)
                await client_writer.drain()
        finally:
            upward.cancel()
            await asyncio.gather(upward, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()


def _head_for_server(method: str, target: str, fields: list[str]) -> bytes:
    """The request as the server itself expects it: what is between the client and this proxy stays here."""
    ours = ("proxy-", "connection:", "keep-alive:")
    kept = [field for field in fields if not field.lower().startswith(ours)]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *kept, "Connection: close", "", ""]).encode("latin-1")
