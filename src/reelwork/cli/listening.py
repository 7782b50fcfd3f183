"""Sockets that listen, and where a client reaches them."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Final

from reelwork.errors import ConfigurationError

SERVER_FIX: Final = "Choose another address with --host and --port; --port 0 takes any free port."


@contextlib.contextmanager
def listening_socket(host: str, port: int, *, fix: str = SERVER_FIX) -> Iterator[socket.socket]:
    """A bound socket. Raises ConfigurationError saying why an address cannot be had, and the fix."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {os.strerror(error.errno) if error.errno else error}. {fix}"
        ) from error
    with listener:
        yield listener


def url_of(listener: socket.socket) -> str:
    """Where a client reaches a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
