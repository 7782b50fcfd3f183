"""What the lock files say."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PINNED: Final = re.compile(r"^([a-z0-9._-]+)==(\S+?)(?: ; (.*?))?(?: \\)?$")


@cache
def locked(path: str) -> dict[tuple[str, str], frozenset[str]]:
    """By name and version, the hashes of what may be installed."""
    found: dict[tuple[str, str], set[str]] = {}
    hashes: set[str] = set()
    for line in (ROOT / path).read_text().splitlines():
        if pinned := PINNED.match(line):
            hashes = found.setdefault((pinned[1], pinned[2]), set())
        elif "--hash=" in line:
            hashes.add(line.strip().removesuffix(" \\"))
    return {key: frozenset(value) for key, value in found.items()}


def locked_version(name: str) -> str:
    (version,) = (version for found, version in locked("requirements.txt") if found == name)
    return version
