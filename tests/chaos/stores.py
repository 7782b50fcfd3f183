"""The stores under fire, and the blows that only each of them can be dealt. A new one joins by one line in STORES."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LOCKS: Final = Path("/proc/locks")


@dataclass(frozen=True, kw_only=True)
class Store:
    """settings: what processes need to know of it, beside their data folder. writer: the id of the process that is in
    the middle of a commit now, where that can be told. blows: what can be done to its server, by name.
    """

    url: str
    settings: Mapping[str, str] = field(default_factory=dict)
    writer: Callable[[], int | None] | None = None
    blows: Mapping[str, Callable[[], object]] = field(default_factory=dict)


@contextlib.contextmanager
def sqlite(folder: Path) -> Iterator[Store]:
    """No server: what can be hit is a process that holds the lock in the middle of its commit (told by Linux only)."""
    path = folder / "data" / "reelwork.db"

    def writer() -> int | None:
        return lock_holder(path.with_name(f"{path.name}.lock"))

    yield Store(url=f"sqlite:///{path}", writer=writer if LOCKS.exists() else None)


def lock_holder(path: Path) -> int | None:
    """Who holds the `flock` on a file now."""
    if not path.exists():
        return None
    inode = str(path.stat().st_ino)
    for line in LOCKS.read_text().splitlines():
        _, kind, *rest = line.split()
        if kind == "FLOCK":  # who only waits for it has an arrow here
            _, _, pid, place, *_ = rest
            if place.rpartition(":")[2] == inode:
                return int(pid)
    return None


STORES: Mapping[str, Callable[[Path], AbstractContextManager[Store]]] = {"sqlite": sqlite}
