"""The program that probes one untrusted file in a process of its own: `python -m reelwork.media.probe_child LIMITS`.

LIMITS is JSON; so is what to probe, which comes on standard input when it is there: a path, or the name and the size of
bytes that are lent over a socket; so is the one line of the answer. The limits are in force before any of it is read.
"""

from __future__ import annotations

import dataclasses
import json
import re
import resource
import socket
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import av.audio.stream
import av.subtitles.stream  # noqa: F401  PyAV loads it with the first container, when there may be no memory left for it

from reelwork.errors import UnreadableMedia, UnsupportedMedia
from reelwork.media.byte_source import MediaFile
from reelwork.media.lending import BorrowedBytes
from reelwork.media.probe import probe_video
from reelwork.media.sandbox import OUT_OF_MEMORY

MEMORY_MARGIN_BYTES = 64 * 1024**2
"""A decoder that is short of memory may call the file invalid; this close to the limit, memory is to blame."""


def limit(cpu_seconds: int, memory_bytes: int) -> None:
    """Bound this process: the kernel kills it beyond its CPU time, and it can write no file and dump no core."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(media: MediaFile) -> dict[str, object]:
    try:
        probed = probe_video(media)
    except UnsupportedMedia as error:
        return {"unsupported": str(error)}
    except UnreadableMedia as error:
        return {"unreadable": str(error)}
    return {"info": dataclasses.asdict(probed.info), "index": b64encode(probed.index.to_bytes()).decode()}


def media_of(asked: dict[str, Any], *, borrower: int) -> MediaFile:
    """borrower: file descriptor of the socket."""
    if "path" in asked:
        return Path(asked["path"])
    return BorrowedBytes(asked["name"], asked["size_bytes"], socket.socket(fileno=borrower))


def is_near_limit(memory_bytes: int) -> bool:
    """Whether this process came so near to its limit that an allocation may have failed unseen (Linux only)."""
    status = Path("/proc/self/status")
    peak = re.search(r"VmPeak:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return peak is not None and int(peak[1]) * 1024 > memory_bytes - MEMORY_MARGIN_BYTES


def main() -> int:
    limits = json.loads(sys.argv[1])
    memory_bytes = limits["memory_bytes"]
    try:
        limit(limits["cpu_seconds"], memory_bytes)
        asked = sys.stdin.readline()
        if not asked:
            return 0  # there will be no file after all
        verdict = answer(media_of(json.loads(asked), borrower=limits["borrower"]))
        if "info" not in verdict and is_near_limit(memory_bytes):
            return OUT_OF_MEMORY
        print(json.dumps(verdict))
    except MemoryError:
        return OUT_OF_MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(main())
