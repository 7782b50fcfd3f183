"""Which files belong to one product, by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Final

PICTURE_SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".svg")
)
"""Some of them cannot be decoded here: that is then said of the file, rather than passed over."""

_NUMBERED: Final = re.compile(r"(?P<prefix>.+?)(?:_\d{1,3}| ?\(\d{1,3}\))", re.S)


def is_picture_name(name: str) -> bool:
    return PurePath(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith(".")


def grouped_by_prefix(names: Iterable[str]) -> Mapping[str, list[str]]:
    """File names by product: `mug.jpg`, `mug_1.jpg` and `mug (2).png` are pictures of `mug`.

    A number belongs to the name where it stands alone: `route_66.jpg` without a `route.jpg` or `route_67.jpg` is a
    product of its own. What is joined by `-` is never a number, as in `phone-15.jpg`.
    """
    names = sorted(names, key=natural_order)
    stems = {name: PurePath(name).stem for name in names}
    prefixes = {name: _prefix(stem) for name, stem in stems.items()}
    sizes: dict[str, int] = {}
    for prefix in prefixes.values():
        sizes[prefix] = sizes.get(prefix, 0) + 1
    groups: dict[str, list[str]] = {}
    for name in names:
        prefix = prefixes[name]
        groups.setdefault(prefix if sizes[prefix] > 1 else stems[name], []).append(name)
    return groups


def _prefix(stem: str) -> str:
    numbered = _NUMBERED.fullmatch(stem)
    return numbered["prefix"] if numbered else stem


def natural_order(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Numbers by their value: `mug_2` before `mug_10`; a bare name before a numbered one."""
    stem = PurePath(name).stem
    parts = re.findall(r"(\d{1,18})|(\D+|\d+)", stem)
    return [(0, int(number), "") if number else (1, 0, text.casefold()) for number, text in parts], name
