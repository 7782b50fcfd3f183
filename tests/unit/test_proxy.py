"""The proxy that other tests cut wires with."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from tests.proxy import LOOPBACK, Link, Proxy, proxy

BIG = bytes(range(256)) * 8_000
"""More than the kernel and the proxy hold on the way."""
PATIENCE_SECONDS = 10.0
SILENCE_SECONDS = 0.2
DELAY_SECONDS = 0.15


@pytest.fixture(scope="module")
def links() -> Iterator[Proxy]:
    with proxy() as links:
        yield links


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says everything again, to any number of clients."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def link(links: Proxy, echo: int) -> Link:
    return links.link(echo)


def _serve(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_echo, args=(client,), daemon=True).start()


def _echo(client: socket.socket) -> None:
    with client, contextlib.suppress(OSError):
        while data := client.recv(1 << 16):
            client.sendall(data)


def call(link: Link) -> socket.socket:
    return socket.create_connection((link.host, link.port), timeout=PATIENCE_SECONDS)


def hear(client: socket.socket, count: int) -> bytes:
    heard = bytearray()
    while len(heard) < count and (data := client.recv(count - len(heard))):
        heard += data
    return bytes(heard)


def is_silent(client: socket.socket) -> bool:
    client.settimeout(SILENCE_SECONDS)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    else:
        return False
    finally:
        client.settimeout(PATIENCE_SECONDS)


def test_leads_every_byte_both_ways_and_lets_one_side_end_first(link: Link) -> None:
    with call(link) as client:
        sending = threading.Thread(target=lambda: (client.sendall(BIG), client.shutdown(socket.SHUT_WR)))
        sending.start()
        assert hear(client, len(BIG)) == BIG
        assert client.recv(1) == b""
        sending.join()


def test_a_cut_resets_what_there_is_and_lets_new_ones_through(link: Link) -> None:
    with call(link) as client:
        client.sendall(b"one")
        assert hear(client, 3) == b"one"
        link.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with call(link) as client:
        client.sendall(b"two")
        assert hear(client, 3) == b"two"


def test_a_stall_holds_old_and_new_connections_and_loses_nothing(link: Link) -> None:
    with call(link) as old:
        old.sendall(b"before")
        assert hear(old, 6) == b"before"
        link.stall()
        with call(link) as new:
            old.sendall(b"old")
            new.sendall(b"new")
            assert is_silent(old)
            assert is_silent(new)
            link.resume()
            assert (hear(old, 3), hear(new, 3)) == (b"old", b"new")


def test_who_left_during_a_stall_is_heard_of_after_it(links: Proxy) -> None:
    """As when packets vanish: the server must not see the end of a connection that cannot reach it."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        link = links.link(listener.getsockname()[1])
        client = call(link)
        server, _ = listener.accept()
        server.settimeout(PATIENCE_SECONDS)
        with server:
            client.sendall(b"x")
            assert hear(server, 1) == b"x"
            link.stall()
            client.close()
            assert is_silent(server)
            link.resume()
            assert server.recv(1) == b""


def test_a_stalled_link_affects_no_other(links: Proxy, echo: int) -> None:
    one, other = links.link(echo), links.link(echo)
    one.stall()
    with call(other) as client:
        client.sendall(b"through")
        assert hear(client, 7) == b"through"


def test_a_delay_is_of_each_direction_and_ends(link: Link) -> None:
    with call(link) as client:
        link.delay(DELAY_SECONDS)
        began = time.monotonic()
        client.sendall(b"slow")
        assert hear(client, 4) == b"slow"
        assert time.monotonic() - began >= 2 * DELAY_SECONDS
        link.resume()
        began = time.monotonic()
        client.sendall(b"fast")
        assert hear(client, 4) == b"fast"
        assert time.monotonic() - began < DELAY_SECONDS


def test_where_nobody_listens_the_connection_ends(links: Proxy) -> None:
    with socket.socket() as unused:
        unused.bind((LOOPBACK, 0))
        with call(links.link(unused.getsockname()[1])) as client:
            assert client.recv(1) == b""


def test_a_reset_of_one_side_is_heard_on_the_other(links: Proxy) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        client = call(links.link(listener.getsockname()[1]))
        server, _ = listener.accept()
        with client:
            client.sendall(b"x")
            assert hear(server, 1) == b"x"
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.close()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
