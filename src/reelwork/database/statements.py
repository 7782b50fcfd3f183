"""Hot statements are plain SQL in files, one folder for each dialect: `<package>/statements/<dialect>/<name>.sql`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


class Statements:
    """The statements of one room."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __call__(self, dialect: str, name: str) -> str:
        return _text(self._package, dialect, name)


@cache
def _text(package: str, dialect: str, name: str) -> str:
    return files(package).joinpath("statements", dialect, f"{name}.sql").read_text(encoding="utf-8")
