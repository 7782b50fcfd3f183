"""What a pinned file is: one member of one version of a package, known by its size and sha256.

Packages come from the user's own package index, through the user's own clients; no host name appears here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class PythonPackageFile:
    """A member of a Python package's wheel."""

    package: str
    version: str
    member: str


@dataclass(frozen=True)
class NodePackageFile:
    """A member of a Node package's tarball."""

    package: str
    version: str
    member: str


@dataclass(frozen=True)
class PinnedFile:
    """A file that is the same bytes on every machine, or absent."""

    name: str
    task: str
    source: PythonPackageFile | NodePackageFile
    sha256: str
    size_bytes: int
    licence: str
    licence_found_in: str

    @property
    def file_name(self) -> str:
        """The pin is part of the name, so two versions of Reelwork can share one folder."""
        member = PurePosixPath(self.source.member)
        return f"{member.stem}-{self.sha256[:8]}{member.suffix}"

    def matches(self, path: Path) -> bool:
        """Whether `path` holds exactly the pinned bytes."""
        try:
            status = path.stat()
        except OSError:
            return False
        if status.st_size != self.size_bytes:
            return False
        return _sha256_of(path, status.st_size, status.st_mtime_ns, status.st_ino) == self.sha256


@lru_cache(maxsize=64)
def _sha256_of(path: Path, _size_bytes: int, _changed_at_ns: int, _inode: int) -> str:
    """Cached: a model is looked up at every submit, and hashing 20 MB each time would be felt."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
