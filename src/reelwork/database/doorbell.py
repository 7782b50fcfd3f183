"""Rings between processes of one machine: datagram sockets in a folder named after the database."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

from reelwork.database.base import EVERYBODY, Listener
from reelwork.errors import StoreUnavailable

RING_BYTES_MAX: Final = 4_096
RINGS_HELD: Final = 10  # the least that a system keeps for a socket; with so many there, others may have been lost
BIND_TRIES_MAX: Final = 100
SOCKET_FOLDER_BYTES_MAX: Final = 49


class Doorbell:
    """Tells every process with this database open that a commit has left something to do.

    Listeners bind a datagram socket in a folder named after the database; ringing sends a few names to each. A lost
    ring costs one polling interval, never a message.
    """

    def __init__(self, database: Path) -> None:
        name = hashlib.sha256(str(database.resolve()).encode()).hexdigest()[:16]
        self._folder = _short_temporary_folder() / f"reelwork-{os.getuid()}-{name}"
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)

    def ring(self, names: Collection[str] = (EVERYBODY,)) -> None:
        """Never raises: it comes after the commit, which no failure to ring can take back."""
        told = "\n".join(names).encode()
        if len(told) > RING_BYTES_MAX:
            told = EVERYBODY.encode()
        with contextlib.suppress(OSError):
            for listener in os.listdir(self._folder):
                self._ring(f"{self._folder}/{listener}", told)

    def _ring(self, address: str, told: bytes) -> None:
        try:
            self._sender.sendto(told, address)
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                os.unlink(address)  # its process is gone
        except OSError:
            pass  # it has rings enough waiting, or hung up

    def listen(self) -> SocketListener:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.setblocking(False)
        for _ in range(BIND_TRIES_MAX):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            try:
                listener.bind(str(self._folder / f"{os.getpid()}-{secrets.token_hex(4)}"))
                return SocketListener(listener)
            except FileNotFoundError:  # the last of the others has just hung up, and has taken the folder along
                continue
        raise StoreUnavailable(f"cannot listen for news of the database in {self._folder}")

    def close(self) -> None:
        self._sender.close()


class SocketListener(Listener):
    """A non-blocking datagram socket."""

    def __init__(self, bound: socket.socket) -> None:
        self.socket = bound

    @property
    def address(self) -> Path:
        return Path(self.socket.getsockname())

    def fileno(self) -> int:
        return self.socket.fileno()

    def take(self) -> Collection[str]:
        rings: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                rings.append(self.socket.recv(RING_BYTES_MAX).decode())
        if len(rings) >= RINGS_HELD:
            return [EVERYBODY]
        return {name for ring in rings for name in ring.split("\n")}

    def close(self) -> None:
        address = self.address
        self.socket.close()
        address.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others listen still
            address.parent.rmdir()


def _short_temporary_folder() -> Path:
    """Where sockets can lie: their addresses hold about a hundred bytes, whatever TMPDIR says."""
    folder = tempfile.gettempdir()
    return Path(folder if len(os.fsencode(folder)) <= SOCKET_FOLDER_BYTES_MAX else "/tmp")
