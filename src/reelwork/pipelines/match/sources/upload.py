"""Pictures that were uploaded with a job: grouped by their file names, as those of a folder are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from reelwork.pipelines.match.access import Access
from reelwork.pipelines.match.sources.base import ProductSource
from reelwork.pipelines.match.sources.grouping import grouped_by_prefix
from reelwork.pipelines.match.sources.product import BrokenEntry, Entry

OBJECT_SCHEME = "object:"


class UploadSource(ProductSource):
    """files: object keys by the names that the user's files have; the folder in such a name is the product."""

    name: ClassVar[str] = "upload"
    files: dict[str, str]

    def entries(self, access: Access) -> Iterator[Entry | BrokenEntry]:
        del access
        if not self.files:
            yield BrokenEntry("upload", "no picture was uploaded; send at least one for each product")
        groups: dict[str, list[str]] = {}
        flat = []
        for name in self.files:
            folder, slash, _ = name.replace("\\", "/").strip("/").partition("/")
            if slash:
                groups.setdefault(folder, []).append(name)
            else:
                flat.append(name)
        for key, names in grouped_by_prefix(flat).items():
            groups.setdefault(key, []).extend(names)
        for key, names in groups.items():
            yield Entry(key, key, tuple(f"{OBJECT_SCHEME}{self.files[name]}" for name in names))
