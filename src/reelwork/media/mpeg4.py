"""Tells MPEG-4 packets that hold one picture from those that hold two, or none (ISO/IEC 14496-2, 6.2).

In AVI every frame has its packet. A frame that was left out has one without a picture, which no decoder shows; and DivX
put a B-frame into the packet before its own, so that packets do not say when their pictures are to be shown.
"""

from __future__ import annotations

import re
from typing import Final

PICTURE: Final = b"\0\0\x01\xb6"
_LAYER: Final = re.compile(rb"\0\0\x01[\x20-\x2f]")
SQUARE_EXTENDED: Final = 15
RECTANGULAR: Final = 0


class _Bits:
    """What is behind the end of the data is 0."""

    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        taken = self._number >> self._left if self._left >= 0 else 0
        return taken & ((1 << count) - 1)


def packs_pictures(packet: bytes) -> bool:
    return packet.count(PICTURE) > 1


def is_without_picture(packet: bytes, time_bits: int) -> bool:
    """Whether the packet says of its frame that it was left out. time_bits: see there."""
    at = packet.find(PICTURE)
    if at < 0:
        return False
    bits = _Bits(packet[at + len(PICTURE) : at + len(PICTURE) + 32])
    bits.take(2)  # its kind
    seconds = 0
    while bits.take(1) and seconds < 128:
        seconds += 1
    bits.take(1 + time_bits + 1)  # between two markers
    return not bits.take(1)


def time_bits(header: bytes) -> int | None:
    """How many bits each picture's time has; None where no header of a rectangular layer is found."""
    found = _LAYER.search(header)
    if found is None:
        return None
    bits = _Bits(header[found.end() : found.end() + 32])
    bits.take(1 + 8)
    if bits.take(1):
        bits.take(4 + 3)
    if bits.take(4) == SQUARE_EXTENDED:
        bits.take(8 + 8)
    if bits.take(1):
        bits.take(2 + 1)
        if bits.take(1):
            bits.take(15 + 1 + 15 + 1 + 15 + 1 + 3 + 11 + 1 + 15 + 1)
    if bits.take(2) != RECTANGULAR:
        return None
    bits.take(1)
    return max(1, (bits.take(16) - 1).bit_length())
