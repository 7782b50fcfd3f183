"""Tells the pictures of H.264 that stand alone from those that only begin a gradual refresh.

FFmpeg calls both keyframes. From the latter a decoder reaches whole pictures only after a while, and may present others
before that without a word: decoding must not start there (H.264, 7.3.3 and D.1.8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

SLICE, PARTITION, IDR_SLICE = 1, 2, 5
AVC_CONFIGURATION = b"\x01"
UNIT_HEAD_BYTES = 2


def begins_gradual_refresh(packet: bytes, extradata: bytes) -> bool:
    """Whether the first slice of a picture that is called a keyframe predicts from other pictures."""
    if extradata[:1] == AVC_CONFIGURATION:
        units = _units_with_lengths(packet, length_bytes=1 + (extradata[4] & 3))
    else:
        units = _units_between_start_codes(packet)
    for unit in units:
        kind = unit[0] & 31
        if kind in (SLICE, PARTITION, IDR_SLICE):
            return kind != IDR_SLICE and not _is_intra(unit[1:])
    return False


def _is_intra(slice_header: bytes) -> bool:
    """The header begins with first_mb_in_slice, which is 0 (`1`), and slice_type: 2 (`011`) and 7 (`0001000`) are I."""
    return bool(slice_header) and (slice_header[0] >> 4 == 0b1011 or slice_header[0] == 0b10001000)


def _units_with_lengths(packet: bytes, *, length_bytes: int) -> Iterator[bytes]:
    at = 0
    while at + length_bytes < len(packet):
        start = at + length_bytes
        at = start + int.from_bytes(packet[at:start], "big")
        if at > start:
            yield packet[start : start + UNIT_HEAD_BYTES]


def _units_between_start_codes(packet: bytes) -> Iterator[bytes]:
    for match in re.finditer(rb"\0\0\x01(?=.)", packet, re.DOTALL):
        yield packet[match.end() : match.end() + UNIT_HEAD_BYTES]
