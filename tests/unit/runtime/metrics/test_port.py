"""The port of a worker answers what it knows, refuses the rest, and outlives whoever talks nonsense to it."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from reelwork.runtime.metrics import port as port_module
from reelwork.runtime.metrics.port import HEAD_BYTES_MAX, WorkerPort

END = b"\r\n\r\n"


async def ask(address: tuple[str, int], request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def answers(*requests: bytes) -> list[bytes]:
    async def test() -> list[bytes]:
        async with asyncio.timeout(20):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                async with WorkerPort().serving(listener):
                    return [await ask(listener.getsockname(), request) for request in requests]

    return asyncio.run(test())


@pytest.mark.parametrize(
    ("request_line", "status", "said"),
    [
        (b"GET /healthz HTTP/1.1", 200, b"ok"),
        (b"GET /healthz?now HTTP/1.0", 200, b"ok"),
        (b"GET /readyz HTTP/1.1", 503, b"starting: a back end is waited for"),  # nothing is open yet
        (b"GET /metrics HTTP/1.1", 200, b"reelwork_build_info"),
        (b"GET /jobs HTTP/1.1", 404, b"/healthz, /readyz and /metrics"),
        (b"GET", 404, b""),
        (b"POST /metrics HTTP/1.1", 405, b"only GET"),
        (b"\xff\xfe nonsense", 405, b""),
    ],
)
def test_answers(request_line: bytes, status: int, said: bytes) -> None:
    (answer,) = answers(request_line + b"\r\nHost: here" + END)
    head, _, body = answer.partition(END)
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert f"Content-Length: {len(body)}".encode() in head
    assert said in body


def test_who_sends_too_much_too_little_or_too_slowly_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_module, "REQUEST_SECONDS_MAX", 0.2)
    told = answers(b"GET /" + b"a" * 2 * HEAD_BYTES_MAX, b"GET /heal", b"GET /healthz HTTP/1.1" + END)
    assert [answer[:12] for answer in told] == [b"", b"", b"HTTP/1.1 200"]


def test_without_prometheus_client_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    metrics, health = answers(b"GET /metrics HTTP/1.1" + END, b"GET /healthz HTTP/1.1" + END)
    assert metrics.startswith(b"HTTP/1.1 501 ")
    assert b"pip install 'reelwork[metrics]'" in metrics
    assert health.startswith(b"HTTP/1.1 200 ")
