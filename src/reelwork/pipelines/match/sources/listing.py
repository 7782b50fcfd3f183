"""Lists the products of all sources of a job, each with ids that are the same on every reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from reelwork.pipelines.match.access import Access
from reelwork.pipelines.match.sources.base import ProductSource
from reelwork.pipelines.match.sources.product import (
    NO_TEXT,
    BrokenEntry,
    Entry,
    ImageRef,
    Product,
    is_text,
    product_id_of,
    short_hash,
)

PRODUCTS_MAX: Final = 10_000
IMAGES_PER_PRODUCT_MAX: Final = 20


def list_products(
    sources: Iterable[ProductSource], access: Access, *, products_max: int = PRODUCTS_MAX
) -> Iterator[Product | BrokenEntry]:
    """Every product once, at most `products_max` of them, with at most IMAGES_PER_PRODUCT_MAX pictures each.

    What is broken or left out is told in its place. The errors of a source end the listing.
    """
    ids: set[str] = set()
    for number, source in enumerate(sources):
        keys: set[str] = set()
        for entry in source.entries(access):
            if isinstance(entry, BrokenEntry):
                yield entry
                continue
            if not is_text(entry.key + entry.title):
                yield BrokenEntry(entry.key, NO_TEXT)
                continue
            if entry.key in keys:
                continue
            if len(ids) == products_max:
                yield BrokenEntry(source.name, f"there are more than {products_max} products; the rest is left out")
                return
            keys.add(entry.key)
            product_id = product_id_of(entry.key)
            while product_id in ids:  # another source knows another product by this name
                product_id = f"{product_id_of(entry.key)}-{short_hash(f'{number}/{product_id}')}"
            ids.add(product_id)
            yield from _product(product_id, entry)


def _product(product_id: str, entry: Entry) -> Iterator[Product | BrokenEntry]:
    locations = []
    for location in dict.fromkeys(entry.locations):
        if is_text(location):
            locations.append(location)
        else:
            yield BrokenEntry(location, NO_TEXT)
    if len(locations) > IMAGES_PER_PRODUCT_MAX:
        left_out = len(locations) - IMAGES_PER_PRODUCT_MAX
        yield BrokenEntry(entry.key, f"{left_out} pictures beyond the first {IMAGES_PER_PRODUCT_MAX} are left out")
    images = [
        ImageRef(f"{product_id}.{number:02d}", location)
        for number, location in enumerate(locations[:IMAGES_PER_PRODUCT_MAX])
    ]
    yield Product(product_id, entry.title, tuple(images))
