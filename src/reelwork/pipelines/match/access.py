"""What jobs may read here: some folders of this machine, and public addresses. Nothing that a job names is trusted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from reelwork.errors import PermanentError
from reelwork.pipelines.match.web import Fetcher, Limits, UrlGuard
from reelwork.pipelines.match.web.guard import parse_networks
from reelwork.settings import Config

SETTING = "REELWORK_SOURCE_FOLDERS"


class PathRefused(PermanentError):
    """A path lies outside the folders that jobs may read, or leads to nothing."""


@dataclass(frozen=True, slots=True)
class Access:
    """config: for the limits of videos and the credentials of shops. folders: absolute, without links.

    own: folders of whoever runs the workers and the job, absolute: links in them are followed wherever they lead.
    """

    config: Config
    fetcher: Fetcher
    folders: tuple[Path, ...]
    own: tuple[Path, ...] = ()

    @classmethod
    def of(cls, config: Config, own: Iterable[str] = ()) -> Self:
        """own: what the job calls its own; only where the settings let jobs do that.

        ConfigurationError for settings that cannot be understood.
        """
        guard = UrlGuard(parse_networks(config.REELWORK_ALLOWED_NETWORKS))
        given = (Path(folder) for folder in config.REELWORK_SOURCE_FOLDERS.split(os.pathsep) if folder.strip())
        named = tuple(map(_plain, own)) if config.REELWORK_JOBS_NAME_FOLDERS else ()
        return cls(config, Fetcher(guard), tuple(folder.resolve() for folder in given), named)

    @property
    def video_limits(self) -> Limits:
        return Limits(self.config.REELWORK_DOWNLOAD_MAX_BYTES, self.config.REELWORK_DOWNLOAD_SECONDS)

    def path(self, text: str) -> Path:
        """A path that a job names, with its links followed, unless it is the job's own. PathRefused."""
        try:
            text.encode()
        except UnicodeEncodeError:
            raise PathRefused(f"{text!r} is no text (UTF-8), and cannot be passed on; rename it") from None
        try:
            path = Path(text).resolve()
        except (OSError, ValueError, RuntimeError):  # a loop of links, a null character, a name that is too long
            raise _outside(text) from None
        if any(_plain(text).is_relative_to(folder) for folder in self.own):
            path = _plain(text)
        elif not any(path.is_relative_to(folder) for folder in self.folders):
            raise _outside(text)
        if not path.exists():
            raise PathRefused(f"{text!r} does not exist; check the path")
        return path


def _plain(text: str) -> Path:
    """Absolute and without `..`; links stay."""
    return Path(os.path.abspath(text))


def _outside(text: str) -> PathRefused:
    """Says nothing of whether the path exists: that is nobody's business."""
    return PathRefused(f"{text!r} lies outside the folders that jobs may read; add its folder to {SETTING}")
