"""What the products and the videos of a job are called, so that nobody takes one for another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from reelwork.pipelines.match.sources import Product
from reelwork.pipelines.match.videos import TITLE_CHARACTERS_MAX, Video

Parts = tuple[str, ...]


def called_apart(videos: Sequence[Video]) -> Iterator[Video]:
    """Of several with one stem, each with its suffix or with folders in front."""
    names = [PurePosixPath((video.name or video.title).lstrip("/")).parts for video in videos]
    for video, title in zip(videos, distinct_titles([video.title for video in videos], names), strict=True):
        yield replace(video, title=title)


def products_called_apart(products: Sequence[Product]) -> Iterator[Product]:
    """Of several with one title, each with folders in front, or with its id behind."""
    names = [_name_of(product) for product in products]
    for product, title in zip(products, distinct_titles([one.title for one in products], names), strict=True):
        yield replace(product, title=title)


def _name_of(product: Product) -> Parts:
    place = PurePosixPath(product.images[0].location if product.images else "")
    if not place.is_absolute():
        return (f"{product.title} ({product.product_id})",)
    holder = next((parent.parent for parent in place.parents if parent.name == product.title), place.parent)
    return (*holder.parts[1:], product.title)


def distinct_titles(titles: Sequence[str], names: Sequence[Parts]) -> list[str]:
    """A title that several have becomes the end of each one's name that none of the others has: `a.mp4` and `a.mov`, or
    `north/a.mp4` and `south/a.mp4`. Those of one name in full are numbered.
    """
    holders: defaultdict[str, list[int]] = defaultdict(list)
    for number, title in enumerate(titles):
        holders[title].append(number)
    taken = {title for title, numbers in holders.items() if len(numbers) == 1}
    endings: defaultdict[tuple[str, Parts], int] = defaultdict(int)
    for title, name in zip(titles, names, strict=True):
        for length in range(1, len(name) + 1):
            endings[title, name[-length:]] += 1
    found = []
    for title, name in zip(titles, names, strict=True):
        if len(holders[title]) > 1:
            lengths = (length for length in range(1, len(name) + 1) if endings[title, name[-length:]] == 1)
            title = _unused("/".join(name[-next(lengths, len(name)) :])[-TITLE_CHARACTERS_MAX:], taken)
            taken.add(title)
        found.append(title)
    return found


def _unused(title: str, taken: set[str]) -> str:
    number, candidate = 1, title
    while candidate in taken:
        number += 1
        candidate = f"{title} ({number})"
    return candidate
