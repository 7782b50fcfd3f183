"""A TCP proxy for tests: links that can be cut, stalled, slowed down and set right again, in a process of its own.

A link may begin in one network namespace and end in another; bytes are never lost, added or reordered by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.namespaces import entered

ROOT: Final = Path(__file__).resolve().parents[1]
CHUNK_BYTES: Final = 1 << 16
CHUNKS_ON_THE_WAY_MAX: Final = 64
BACKLOG: Final = 128
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class Link:
    """Whoever connects to `host:port` is led to the server behind it."""

    number: int
    host: str
    port: int
    _proxy: Proxy = field(repr=False, compare=False)

    def cut(self) -> None:
        """Resets every connection that there is; new ones come through."""
        self._proxy.tell(do="cut", number=self.number)

    def stall(self) -> None:
        """From now on every byte of both sides is held, also of new connections; nothing is closed. A partition."""
        self._proxy.tell(do="stall", number=self.number)

    def delay(self, seconds: float) -> None:
        """From now on every byte takes so long, in each direction."""
        self._proxy.tell(do="delay", number=self.number, seconds=seconds)

    def resume(self) -> None:
        """What was held goes on, in its order, and nothing is slowed down any more."""
        self._proxy.tell(do="resume", number=self.number)


class Proxy:
    """The process that keeps the links. It ends with the process that asked for it."""

    def __init__(self) -> None:
        self._order = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proxy"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )

    def link(
        self,
        port: int,
        *,
        host: str = LOOPBACK,
        listen: str = LOOPBACK,
        begins_in: Path | None = None,
        ends_in: Path | None = None,
    ) -> Link:
        """A new way to the server at `host:port`. begins_in, ends_in: the network namespaces of its two sides; where
        None is given, that of the tests.
        """
        ends: dict[str, Any] = {
            name: str(path) for name, path in (("begins_in", begins_in), ("ends_in", ends_in)) if path
        }
        number, at = self.tell(do="link", host=host, port=port, listen=listen, **ends)
        return Link(number, listen, at, self)

    def tell(self, **command: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._order:
            print(json.dumps(command), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the proxy has ended; its reason stands above")
        return json.loads(answer)

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


@contextlib.contextmanager
def proxy() -> Iterator[Proxy]:
    running = Proxy()
    try:
        yield running
    finally:
        running.stop()


class _Line:
    """One link, on the other side."""

    def __init__(self, host: str, port: int, ends_in: str | None) -> None:
        self._upstream = (host, port)
        self._ends_in = ends_in
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._delay_seconds = 0.0

    def stall(self) -> None:
        self._flows.clear()

    def delay(self, seconds: float) -> None:
        self._delay_seconds = seconds

    def resume(self) -> None:
        self._delay_seconds = 0.0
        self._flows.set()

    def cut(self) -> None:
        for writer in self._writers:
            _reset(writer)

    async def lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection to its end."""
        self._writers.add(writer)
        try:
            await self._flows.wait()
            there, back = await self._connect()
        except OSError:
            self._drop(writer)
            return
        self._writers.add(back)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, back))
                both.create_task(self._carry(there, writer))
        except* OSError:
            _reset(writer)
            _reset(back)
        finally:
            self._drop(writer)
            self._drop(back)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        with entered(self._ends_in):
            upstream = socket.socket()
        upstream.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(upstream, self._upstream)
        except OSError:
            upstream.close()
            raise
        return await asyncio.open_connection(sock=upstream)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until its side has said all."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_ON_THE_WAY_MAX)
        loop = asyncio.get_running_loop()

        async def take() -> None:
            chunk = b"more"
            while chunk:
                chunk = await reader.read(CHUNK_BYTES)
                await on_the_way.put((loop.time() + self._delay_seconds, chunk))

        async def give() -> None:
            while True:
                due, chunk = await on_the_way.get()
                await asyncio.sleep(max(due - loop.time(), 0.0))
                await self._flows.wait()
                if not chunk:
                    writer.write_eof()
                    return
                writer.write(chunk)
                await writer.drain()

        async with asyncio.TaskGroup() as both:
            both.create_task(take())
            both.create_task(give())

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """The other side hears a reset, and nothing that was still on its way."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


class _Lines:
    def __init__(self) -> None:
        self._lines: list[_Line] = []

    async def obey(self, do: str, number: int = -1, **given: Any) -> Any:
        if do == "link":
            return await self._link(**given)
        getattr(self._lines[number], do)(**given)
        return None

    async def _link(
        self, host: str, port: int, listen: str, begins_in: str | None = None, ends_in: str | None = None
    ) -> tuple[int, int]:
        with entered(begins_in):
            listener = socket.create_server((listen, 0), backlog=BACKLOG)
        self._lines.append(line := _Line(host, port, ends_in))
        await asyncio.start_server(line.lead, sock=listener)
        return len(self._lines) - 1, listener.getsockname()[1]


async def _keep() -> None:
    lines, loop = _Lines(), asyncio.get_running_loop()
    while order := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await lines.obey(**json.loads(order))), flush=True)
    os._exit(0)  # nobody is left who would hear of what breaks now


if __name__ == "__main__":
    asyncio.run(_keep())
