"""The public list of products of a Shopify shop: `/products.json`, of the whole shop or of one collection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final
from urllib.parse import urljoin, urlsplit

from pydantic import Field

from reelwork.pipelines.match.access import Access
from reelwork.pipelines.match.sources.base import ProductSource, SourceUnusable
from reelwork.pipelines.match.sources.json_page import PAGE_LIMITS, read_json, text_of
from reelwork.pipelines.match.sources.product import BrokenEntry, Entry
from reelwork.pipelines.match.web import DownloadRefused

PRODUCTS_PER_PAGE: Final = 250
PAGES_MAX: Final = 100
"""Shopify answers up to the 25,000th product."""


class ShopifySource(ProductSource):
    """url: of the shop, of a collection in it, or of its `products.json`. products_max: the first so many."""

    name: ClassVar[str] = "shopify"
    url: str
    products_max: int = Field(PRODUCTS_PER_PAGE * PAGES_MAX, ge=1, le=PRODUCTS_PER_PAGE * PAGES_MAX)

    def check(self, access: Access) -> None:
        access.fetcher.guard.check_url(self.url)

    def entries(self, access: Access) -> Iterator[Entry | BrokenEntry]:
        left = self.products_max
        for page in range(1, PAGES_MAX + 1):
            limit = min(PRODUCTS_PER_PAGE, self.products_max)
            products = self._page(access, page, limit)
            for position, product in enumerate(products[:left]):
                yield _entry(f"product {(page - 1) * limit + position + 1}", product, self.url)
            left -= len(products)
            if len(products) < limit or left <= 0:
                break
        if left == self.products_max:
            yield BrokenEntry(self.url, "the shop lists no products")

    def _page(self, access: Access, page: int, limit: int) -> list[Any]:
        parts = urlsplit(self.url)
        path = parts.path.rstrip("/").removesuffix("/products.json")
        url = parts._replace(path=f"{path}/products.json", query=f"limit={limit}&page={page}", fragment="").geturl()
        try:
            answer = read_json(access.fetcher, url, expected="a Shopify shop's products.json", limits=PAGE_LIMITS)
        except DownloadRefused as error:
            if error.status in (401, 403, 404):
                raise SourceUnusable(
                    f"{error}; the shop may not be Shopify's, or does not publish its products: ask it for a catalogue"
                ) from error
            raise
        products = answer.get("products") if isinstance(answer, dict) else None
        if not isinstance(products, list):
            raise SourceUnusable(f'{url} is no list of a Shopify shop\'s products: it holds no "products"')
        return products


def _entry(where: str, product: Any, shop: str) -> Entry | BrokenEntry:
    if not isinstance(product, dict) or not (key := text_of(product.get("id")) or text_of(product.get("handle"))):
        return BrokenEntry(where, "the product has no id")
    images = product.get("images")
    links = (
        [text_of(image.get("src")) for image in images if isinstance(image, dict)] if isinstance(images, list) else []
    )
    locations = tuple(urljoin(shop, link) for link in links if link)
    if not locations:
        return BrokenEntry(f"{where} ({key})", "the product has no picture")
    return Entry(key, text_of(product.get("title")) or key, locations)
