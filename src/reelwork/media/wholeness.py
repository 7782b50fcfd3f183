"""Whether a file holds all that its container promises: the outermost sizes say so without any decoding.

MP4: ISO/IEC 14496-12, 4.2 (boxes). Matroska: RFC 8794, 4 and 5 (element ids and sizes). AVI: the RIFF chunk's size.
MPEG-TS: ISO/IEC 13818-1, 2.4.3 (packets of 188 bytes).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from reelwork.media.byte_source import MediaFile, open_bytes, size_of

EBML_MAGIC = b"\x1a\x45\xdf\xa3"
SEGMENT_ID = b"\x18\x53\x80\x67"
TRANSPORT_PACKET_BYTES = 188
TRANSPORT_SYNC = 0x47
HEAD_BYTES = 2 * TRANSPORT_PACKET_BYTES
BOXES_MAX = 10_000


def missing_part(media: MediaFile) -> str | None:
    """What a file lacks, in plain words, judged by its outermost structure; None where nothing is known to lack."""
    size = size_of(media)
    if size == 0:
        return "the file is empty"
    with open_bytes(media) as file:
        head = file.read(HEAD_BYTES)
        if head[4:8] == b"ftyp":
            return _missing_from_mp4(file, size)
        if head.startswith(EBML_MAGIC):
            return _missing_from_matroska(head, size)
        if head.startswith(b"RIFF"):
            return _cut_short(size, promised=8 + int.from_bytes(head[4:8], "little"))
        if head[0] == TRANSPORT_SYNC and head[TRANSPORT_PACKET_BYTES : TRANSPORT_PACKET_BYTES + 1] == head[:1]:
            return _cut_short(size, promised=-(-size // TRANSPORT_PACKET_BYTES) * TRANSPORT_PACKET_BYTES)
    return None


def _cut_short(size: int, promised: int) -> str | None:
    if size >= promised:
        return None
    return f"the file is truncated: {size} of {promised} bytes are there; upload it again"


def _missing_from_mp4(file: BinaryIO, size: int) -> str | None:
    boxes = dict(_boxes(file, size))
    if b"moov" in boxes:
        return None
    if b"mdat" not in boxes:
        return "the file holds the signature of an MP4 file (ftyp) and no video"
    return "the file is truncated: the table of its frames (moov) at its end is missing; upload or record it again"


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Kind and end of each outermost box."""
    position = 0
    for _ in range(BOXES_MAX):
        file.seek(position)
        head = file.read(16)
        if len(head) < 8:
            return
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:
            length = size - position
        yield head[4:8], position + length
        if length < 8:
            return
        position += length


def _missing_from_matroska(head: bytes, size: int) -> str | None:
    segment = head.find(SEGMENT_ID)
    if segment < 0 or len(head) < segment + 12:
        return None
    octets = 9 - head[segment + 4].bit_length()
    start = segment + 4 + octets
    unknown = (1 << 7 * octets) - 1
    length = int.from_bytes(head[segment + 4 : start], "big") & unknown
    return None if length == unknown else _cut_short(size, promised=start + length)
