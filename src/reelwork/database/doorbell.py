"""Rings between processes of one machine: datagram sockets in a folder named after the database."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
import tempfile
from pathlib import Path
from typing import Final

from reelwork.database.base import Listener
from reelwork.errors import StoreUnavailable

WAKE_BYTES: Final = 1
BIND_TRIES_MAX: Final = 100
SOCKET_FOLDER_BYTES_MAX: Final = 49


class Doorbell:
    """Tells every process with this database open that a commit has left something to do.

    Listeners bind a datagram socket in a folder named after the database; ringing sends a byte to each. A lost ring
    costs one polling interval, never a message.
    """

    def __init__(self, database: Path) -> None:
        name = hashlib.sha256(str(database.resolve()).encode()).hexdigest()[:16]
        self._folder = _short_temporary_folder() / f"reelwork-{os.getuid()}-{name}"
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)

    def ring(self) -> None:
        """Never raises: it comes after the commit, which no failure to ring can take back."""
        with contextlib.suppress(OSError):
            for listener in os.listdir(self._folder):
                self._ring(self._folder / listener)

    def _ring(self, address: Path) -> None:
        try:
            self._sender.sendto(b"!" * WAKE_BYTES, str(address))
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                address.unlink()  # its process is gone
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

    def clear(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            while self.socket.recv(WAKE_BYTES):
                pass
        return True

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
