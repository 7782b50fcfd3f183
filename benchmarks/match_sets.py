"""The sets of the match benchmark: one on which scores are fitted, one on which they are measured, and a second one to
measure on, `fresh`, because the test set was looked at more than once; `fresh` was looked at once.

The calibration set shares no product, brand, background or seed with the others. Which set a picture belongs to follows
from its name and package alone, and pictures of one series (`desk.jpg`, `desk-2.jpg`) are never parted.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from match_pictures import (
    BRANDS,
    DRAWN,
    GOODS_SIDE,
    ProductPicture,
    cut_out,
    drawn_thing,
    fetch_pictures,
    pictures_in,
    printed_box,
    scaled_to,
)
from match_videos import Truth, plan

from reelwork.vision.opencv import Picture

SetName = Literal["calibration", "test", "fresh"]
SET_NAMES: tuple[SetName, ...] = get_args(SetName)
TEST_SHARE = 60
"""Percent of all series of pictures."""
PRODUCTS_MAX: dict[SetName, int] = {"calibration": 50, "test": 60, "fresh": 40}
"""Strangers included."""
SIDE_MIN = 500
"""Of a background, pixels."""
STRANGER_SHARE = 20
"""Percent of the products, which no catalogue holds."""
APPEARANCES_EACH = 2
KNOWN_PER_VIDEO, STRANGERS_PER_VIDEO = 3, 1
VIDEOS_PER_EMPTY_ONE = 5
"""So many videos with products come with one that has none, by turns with strangers in it and without."""
SECONDS = 36.0


@dataclass(frozen=True, eq=False)
class Pictures:
    """What the videos of a set are made of. `products` are looked for, `strangers` look like them and are not."""

    products: list[ProductPicture]
    strangers: list[ProductPicture]
    backgrounds: list[Picture]
    clutter: list[Picture]

    @property
    def by_name(self) -> dict[str, ProductPicture]:
        return {picture.name: picture for picture in (*self.products, *self.strangers)}


@dataclass(frozen=True)
class Folders:
    """A user's own pictures: one product a file, and backgrounds."""

    products: Path
    backgrounds: Path


def pictures_of(name: SetName, cache: Path, folders: Folders | None = None) -> Pictures:
    """The pictures of a set: the user's, or those of a few packages. ValueError where there are too few."""
    if folders is not None:
        return _own(name, folders)
    return _fetched(name, fetch_pictures(cache))


def plans(name: SetName, seed: int, pictures: Pictures, *, videos_max: int | None = None) -> list[Truth]:
    """What is in each video of the set: every product in `APPEARANCES_EACH` videos, strangers, and empty videos."""
    random = np.random.default_rng([seed, SET_NAMES.index(name)])
    rounds = [random.permutation([one.name for one in pictures.products]) for _ in range(APPEARANCES_EACH)]
    shown = [
        known[begin : begin + KNOWN_PER_VIDEO] for known in rounds for begin in range(0, len(known), KNOWN_PER_VIDEO)
    ]
    strangers = [one.name for one in pictures.strangers]
    truths = []
    for number, known in enumerate(shown):
        beside = _some(random, strangers, STRANGERS_PER_VIDEO)
        truths.append(plan(random, f"{name}-{number:03d}", [str(one) for one in known], beside, SECONDS))
    for number in range(-(-len(shown) // VIDEOS_PER_EMPTY_ONE)):
        beside = _some(random, strangers, KNOWN_PER_VIDEO) if number % 2 == 0 else []
        truths.append(plan(random, f"{name}-{len(shown) + number:03d}", [], beside, SECONDS))
    return truths if videos_max is None or len(truths) <= videos_max else [*truths[: videos_max - 1], truths[-1]]


def _some(random: np.random.Generator, names: Sequence[str], count: int) -> list[str]:
    return [str(one) for one in random.choice(names, min(count, len(names)), replace=False)] if names else []


def _fetched(name: SetName, folder: Path) -> Pictures:
    """Boxes of the calibration set show landscapes, those of the others rooms and goods, of other photographers."""
    rooms = pictures_in(folder / "rooms")
    goods = {
        key: picture
        for key, picture in pictures_in(folder / "goods").items()
        if (zlib.crc32(key.encode()) % 2 == 0) == (name == "calibration")
    }
    cut_goods = _cut({key: scaled_to(picture, GOODS_SIDE) for key, picture in goods.items()})
    if name == "fresh":
        things = cut_goods
        motifs = {key: picture for key, picture in goods.items() if key not in {one.name for one in things}}
    else:
        things = _cut(_part(pictures_in(folder / "objects"), name))
        motifs = _part(rooms, name) if name == "test" else pictures_in(folder / "landscapes")
    if name == "calibration":
        drawn = [drawn_thing(key, folder / "drawn" / f"{key}.webp", "object") for key in DRAWN]
        things = [*things, *cut_goods, *drawn]
    behind = list((_part(rooms, name) if name == "calibration" else pictures_in(folder / "halls")).values())
    brands = [brand for brand in BRANDS if brand.is_for_test == (name != "calibration")]
    chosen = sorted(motifs, key=_percent)[: max(0, PRODUCTS_MAX[name] - len(things))]
    boxes = [printed_box(key, motifs[key], brands[n % len(brands)], n) for n, key in enumerate(sorted(chosen))]
    products, strangers = _withheld([*boxes, *things])
    return Pictures(products, strangers, *_split_in_two([one for one in behind if min(one.shape[:2]) >= SIDE_MIN]))


def _cut(pictures: dict[str, Picture]) -> list[ProductPicture]:
    cut = [cut_out(key, picture, "object") for key, picture in pictures.items()]
    return [one for one in cut if one is not None]


def _own(name: SetName, folders: Folders) -> Pictures:
    pictures = _part(pictures_in(folders.products), name)
    whole = {
        key: cut_out(key, picture, "own") or ProductPicture(key, picture, np.ones(picture.shape[:2], bool), "own")
        for key, picture in pictures.items()
    }
    products, strangers = _withheld([one.fitting() for one in whole.values()])
    backgrounds = list(_part(pictures_in(folders.backgrounds), name).values())
    if len(products) < KNOWN_PER_VIDEO or len(backgrounds) < 2:
        raise ValueError(
            f"the {name} set has {len(products)} products and {len(backgrounds)} backgrounds of {folders.products} and "
            f"{folders.backgrounds}; it needs {KNOWN_PER_VIDEO} and 2. Give more pictures: the two sets share none"
        )
    return Pictures(products, strangers, *_split_in_two(backgrounds))


def _part(pictures: dict[str, Picture], name: SetName) -> dict[str, Picture]:
    is_test = name != "calibration"
    return {key: picture for key, picture in pictures.items() if (_percent(_series(key)) < TEST_SHARE) == is_test}


def _withheld(pictures: Sequence[ProductPicture]) -> tuple[list[ProductPicture], list[ProductPicture]]:
    """Products and strangers."""
    strangers = [one for one in pictures if _percent(f"stranger/{one.name}") < STRANGER_SHARE]
    return [one for one in pictures if one not in strangers], strangers


def _split_in_two(pictures: list[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Behind the products, and before them."""
    return pictures[: -max(1, len(pictures) // 4)], pictures[-max(1, len(pictures) // 4) :]


def _series(key: str) -> str:
    """`desk-2-1500` and `desk` are one series."""
    return re.sub(r"([-_ ]\d+)+$", "", key)


def _percent(text: str) -> int:
    """0..99, the same on every machine."""
    return zlib.crc32(text.encode()) % 100
