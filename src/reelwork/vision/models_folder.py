"""Where pinned files lie on this machine, and which of them are there. It only looks; it never downloads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from reelwork.errors import ConfigurationError, ModelMissing
from reelwork.vision.models import MODELS
from reelwork.vision.pinned_file import PinnedFile, PythonPackageFile


class Presence(StrEnum):
    """What lies where a pinned file should be."""

    READY = "ready"
    MISSING = "missing"
    CORRUPT = "corrupt"


@dataclass(frozen=True)
class ModelStatus:
    """One row of `reelwork models`."""

    model: PinnedFile
    presence: Presence
    path: Path | None


def default_models_dir() -> Path:
    """`REELWORK_MODELS_DIR`, else a folder in the user's cache."""
    chosen = os.environ.get("REELWORK_MODELS_DIR")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "reelwork" / "models"


def model_named(name: str) -> PinnedFile:
    """The row of the table; raises ConfigurationError, which lists the known names."""
    try:
        return MODELS[name]
    except KeyError:
        raise ConfigurationError(f"there is no model {name!r}; the known ones are {', '.join(MODELS)}") from None


def model_path(name: str, models_dir: Path | None = None) -> Path:
    """The verified weights of a model; raises ModelMissing, whose text is the command that fetches them."""
    model = model_named(name)
    path = find_pinned_file(model, models_dir or default_models_dir())
    if path is None:
        raise ModelMissing(f"model {name} ({model.task}) is not on this machine; fetch it with: {pull_command(name)}")
    return path


def pull_command(*names: str) -> str:
    """What a user types to get these models."""
    return f"reelwork models pull {' '.join(names)}"


def models_status(models_dir: Path | None = None) -> list[ModelStatus]:
    """Every model of the table and whether it can be used, in the table's order."""
    folder = models_dir or default_models_dir()
    return [_status(model, folder) for model in MODELS.values()]


def find_pinned_file(file: PinnedFile, folder: Path) -> Path | None:
    """A verified copy: in the folder, or in the installed package that the file comes from."""
    candidates = (folder / file.file_name, _installed_copy(file))
    return next((path for path in candidates if path is not None and file.matches(path)), None)


def _status(model: PinnedFile, folder: Path) -> ModelStatus:
    path = find_pinned_file(model, folder)
    if path is not None:
        return ModelStatus(model, Presence.READY, path)
    spoilt = folder / model.file_name
    if spoilt.exists():
        return ModelStatus(model, Presence.CORRUPT, spoilt)
    return ModelStatus(model, Presence.MISSING, None)


def _installed_copy(file: PinnedFile) -> Path | None:
    """Found through the package's metadata: looking for a file must not import the package."""
    if not isinstance(file.source, PythonPackageFile):
        return None
    try:
        return Path(str(distribution(file.source.package).locate_file(file.source.member)))
    except PackageNotFoundError:
        return None
