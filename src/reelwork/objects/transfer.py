"""Copies every object of one store into another; it may be run again, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from reelwork.errors import ObjectNotFound, StoreUnavailable
from reelwork.objects.store import ObjectStore

AT_ONCE: Final = 8
WAITING_MAX: Final = 4 * AT_ONCE


@dataclass(frozen=True, slots=True)
class CopiedObjects:
    """already: objects that were there with the same size, and were left as they are. size_bytes: of the copied."""

    copied: int = 0
    already: int = 0
    size_bytes: int = 0

    def __add__(self, other: CopiedObjects) -> CopiedObjects:
        return CopiedObjects(
            self.copied + other.copied, self.already + other.already, self.size_bytes + other.size_bytes
        )


def copy_objects(
    source: ObjectStore, target: ObjectStore, *, on_progress: Callable[[CopiedObjects], None]
) -> CopiedObjects:
    """Copies what the target does not have in the same size, and looks at the size of each copy.

    Nobody may write to the source meanwhile. Raises StoreUnavailable; what was copied until then stays.
    """
    total = CopiedObjects()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="reelwork-copy") as threads:
        waiting: set[Future[CopiedObjects]] = set()
        try:
            for key in source.keys(""):
                waiting.add(threads.submit(_copy, source, target, key))
                if len(waiting) >= WAITING_MAX:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    total = sum((each.result() for each in done), total)
                    on_progress(total)
            for each in waiting:
                total += each.result()
        finally:
            for each in waiting:
                each.cancel()
    on_progress(total)
    return total


def _copy(source: ObjectStore, target: ObjectStore, key: str) -> CopiedObjects:
    size = source.size(key)
    if _size(target, key) == size:
        return CopiedObjects(already=1)
    with target.writer(key) as file:
        for chunk in source.chunks(key):
            file.write(chunk)
    found = _size(target, key)
    if found != size:
        raise StoreUnavailable(f"the object store kept {found} bytes of {key}, which has {size}; run the command again")
    return CopiedObjects(copied=1, size_bytes=size)


def _size(store: ObjectStore, key: str) -> int | None:
    try:
        return store.size(key)
    except ObjectNotFound:
        return None
