"""The files in a folder and in those inside it; what cannot be looked into is told, not passed over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from reelwork.pipelines.match.sources.grouping import natural_order
from reelwork.pipelines.match.sources.product import BrokenEntry

LINKED = "this is a link to a folder, and not followed; name that folder itself, or put it here"


def walked(folder: Path, is_wanted: Callable[[str], bool]) -> Iterator[Path | BrokenEntry]:
    """Files whose names are wanted, in natural order; names that begin with a dot are hidden, and are meant to be."""
    errors: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=errors.append):
        yield from map(_unreadable, errors)
        errors.clear()
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural_order)
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                yield BrokenEntry(os.path.join(parent, name), LINKED)
        yield from (Path(parent, name) for name in sorted(names, key=natural_order) if is_wanted(name))
    yield from map(_unreadable, errors)


def _unreadable(error: OSError) -> BrokenEntry:
    return BrokenEntry(str(error.filename), f"the folder cannot be read: {error.strerror}; nothing in it was looked at")
