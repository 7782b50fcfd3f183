"""A folder of pictures: one product for each sub-folder, and for each file-name prefix beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

from reelwork.pipelines.match.access import Access, PathRefused
from reelwork.pipelines.match.sources.base import ProductSource, SourceUnusable
from reelwork.pipelines.match.sources.grouping import grouped_by_prefix, is_picture_name, natural_order
from reelwork.pipelines.match.sources.product import BrokenEntry, Entry
from reelwork.pipelines.match.sources.walk import walked

FILES_PER_PRODUCT_MAX: Final = 1_000
"""Only so many of a sub-folder's files are read; a folder of the system's would have no end."""


class FolderSource(ProductSource):
    """path: a folder below one that jobs may read. A product's key is the name of its sub-folder or its prefix."""

    name: ClassVar[str] = "folder"
    path: str

    def check(self, access: Access) -> None:
        self._folder(access)

    def entries(self, access: Access) -> Iterator[Entry | BrokenEntry]:
        folder = self._folder(access)
        try:
            with os.scandir(folder) as found:
                entries = [(entry.name, entry.is_dir()) for entry in found if not entry.name.startswith(".")]
        except OSError as error:
            raise SourceUnusable(f"the folder {folder} cannot be read: {error.strerror}") from error
        groups: dict[str, list[str]] = {}
        names = [name for name, is_folder in entries if not is_folder and is_picture_name(name)]
        for key, pictures in grouped_by_prefix(names).items():
            groups[key] = [str(folder / name) for name in pictures]
        for name in (name for name, is_folder in entries if is_folder):
            try:
                inside = access.path(str(folder / name))
            except PathRefused as error:
                yield BrokenEntry(str(folder / name), str(error))
                continue
            pictures = groups.setdefault(name, [])
            for one in walked(inside, is_picture_name):
                if isinstance(one, BrokenEntry):
                    yield one
                    continue
                if len(pictures) == FILES_PER_PRODUCT_MAX:
                    break
                pictures.append(str(one))
        if not groups:
            yield BrokenEntry(str(folder), "the folder holds no pictures; put one sub-folder for each product into it")
        for key in sorted(groups, key=natural_order):
            if groups[key]:
                yield Entry(key, key, tuple(groups[key]))
            else:
                yield BrokenEntry(str(folder / key), "the folder holds no pictures")

    def _folder(self, access: Access) -> Path:
        folder = access.path(self.path)
        if not folder.is_dir():
            raise SourceUnusable(f"{self.path!r} is not a folder; a file with a list of products is a catalogue")
        return folder
