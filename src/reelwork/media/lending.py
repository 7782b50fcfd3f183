"""Lends the bytes of a video to the child that probes it, range by range: it gets no file, address or credential.

Over a pair of sockets: the child sends the start and the end of a range as two 64-bit numbers, and gets its bytes.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass
from typing import Final

from reelwork.errors import ProbeLimitExceeded
from reelwork.media.byte_source import ByteSource
from reelwork.media.ranged_file import BLOCK_BYTES, BLOCKS_AT_ONCE_MAX

LENT_AT_ONCE_BYTES_MAX: Final = BLOCKS_AT_ONCE_MAX * BLOCK_BYTES
LENT_TIMES_MAX: Final = 4
LENT_BYTES_MIN: Final = 256 << 20
"""A child may ask for so many times the size of the video, and for this much at least."""

REQUEST: Final = struct.Struct(">QQ")


def lend(source: ByteSource, lender: socket.socket, *, timeout_seconds: float) -> float:
    """Answers until the child has closed its end; the time that is left to it, which runs only while it has its answer.

    Raises TimeoutError, ProbeLimitExceeded for one that asks for too much, and what the source raises.
    """
    left, lent = timeout_seconds, 0
    lent_max = max(LENT_TIMES_MAX * source.size_bytes, LENT_BYTES_MIN)
    while True:
        began = time.monotonic()
        lender.settimeout(left)
        request = _received(lender, REQUEST.size)
        left -= time.monotonic() - began
        if request is None:
            return max(left, 0.0)
        start, end = REQUEST.unpack(request)
        lent += end - start
        if not start <= end <= min(source.size_bytes, start + LENT_AT_ONCE_BYTES_MAX):
            raise ProbeLimitExceeded(
                "probing asked for bytes that nobody has, or for too many at once, and was stopped"
            )
        if lent > lent_max:
            raise ProbeLimitExceeded(f"probing read more than {lent_max} bytes and was stopped")
        data = source.read_range(start, end)
        if left <= 0:
            raise TimeoutError
        began = time.monotonic()
        lender.settimeout(left)
        try:
            lender.sendall(data)
        except (BrokenPipeError, ConnectionResetError):  # it has died over what it got before
            return max(left, 0.0)
        left -= time.monotonic() - began
        if left <= 0:
            raise TimeoutError


@dataclass(frozen=True, slots=True)
class BorrowedBytes:
    """The other end, in the child."""

    name: str
    size_bytes: int
    borrower: socket.socket

    def read_range(self, start: int, end: int) -> bytes:
        self.borrower.sendall(REQUEST.pack(start, end))
        data = _received(self.borrower, end - start)
        if data is None:
            raise EOFError("the lender is gone")
        return data


def _received(end: socket.socket, length: int) -> bytes | None:
    """Exactly so many bytes; None where the other end was closed before the last of them."""
    data = bytearray(length)
    view, there = memoryview(data), 0
    while there < length:
        try:
            more = end.recv_into(view[there:])
        except ConnectionResetError:
            return None
        if more == 0:
            return None
        there += more
    return bytes(data)
