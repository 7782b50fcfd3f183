"""Items of eBay, by its Browse API: `item_summary/search`, with an application token (OAuth 2.0, RFC 6749, 4.4).

The credentials go to the API of the settings and nowhere else; a job cannot name another.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from pydantic import Field

from reelwork.pipelines.match.access import Access
from reelwork.pipelines.match.sources.base import ProductSource, SourceUnusable
from reelwork.pipelines.match.sources.json_page import PAGE_LIMITS, read_json, text_of
from reelwork.pipelines.match.sources.product import BrokenEntry, Entry
from reelwork.pipelines.match.web import DownloadRefused

SCOPE: Final = "https://api.ebay.com/oauth/api_scope"
ITEMS_PER_PAGE: Final = 200
ITEMS_MAX: Final = 10_000
"""eBay gives no items of one search beyond these."""

DEFAULT_ITEMS: Final = 200


class CredentialsRefused(SourceUnusable):
    """The settings lack a credential, or eBay does not take it; the text names the variable."""


class EbaySource(ProductSource):
    """query: what a buyer would type. items_max: the first so many. marketplace: like EBAY_US or EBAY_DE."""

    name: ClassVar[str] = "ebay"
    query: str = Field(min_length=1, max_length=100)
    items_max: int = Field(DEFAULT_ITEMS, ge=1, le=ITEMS_MAX)
    marketplace: str = Field("EBAY_US", pattern=r"^EBAY_[A-Z]{2,6}$")

    def check(self, access: Access) -> None:
        _credentials(access)

    def entries(self, access: Access) -> Iterator[Entry | BrokenEntry]:
        token = _Token(access)
        limit = min(ITEMS_PER_PAGE, self.items_max)
        for offset in range(0, self.items_max, limit):
            items, total = self._page(access, token, limit=limit, offset=offset)
            if not items and not offset:
                yield BrokenEntry("ebay", f"nothing was found for {self.query!r} on {self.marketplace}")
            for position, item in enumerate(items[: self.items_max - offset]):
                yield _entry(f"item {offset + position + 1}", item)
            if offset + limit >= total:
                break

    def _page(self, access: Access, token: _Token, *, limit: int, offset: int) -> tuple[list[Any], int]:
        query = urlencode({"q": self.query, "limit": limit, "offset": offset})
        url = f"{_api(access)}/buy/browse/v1/item_summary/search?{query}"
        try:
            answer = self._asked(access, url, token.text)
        except DownloadRefused as error:
            if error.status != 401:
                raise
            token.renew()  # one lasts two hours; a long search may outlive it
            answer = self._asked(access, url, token.text)
        items = answer.get("itemSummaries", []) if isinstance(answer, dict) else None
        total = answer.get("total", 0) if isinstance(answer, dict) else None
        if not isinstance(items, list) or not isinstance(total, int):
            raise SourceUnusable(f"{url} is no answer of eBay's Browse API; check REELWORK_EBAY_API_URL")
        return items, total

    def _asked(self, access: Access, url: str, token: str) -> Any:
        headers = {"authorization": f"Bearer {token}", "x-ebay-c-marketplace-id": self.marketplace}
        return read_json(
            access.fetcher, url, expected="an answer of eBay's Browse API", limits=PAGE_LIMITS, headers=headers
        )


class _Token:
    """An application token, asked for when it is first needed."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.text = ""
        self.renew()

    def renew(self) -> None:
        client, secret = _credentials(self._access)
        basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
        url = f"{_api(self._access)}/identity/v1/oauth2/token"
        try:
            answer = read_json(
                self._access.fetcher,
                url,
                expected="a token of eBay's",
                limits=PAGE_LIMITS,
                headers={"authorization": f"Basic {basic}"},
                form={"grant_type": "client_credentials", "scope": SCOPE},
            )
        except DownloadRefused as error:
            if error.status in (400, 401, 403):
                raise CredentialsRefused(
                    f"eBay refuses the credentials ({error}); check REELWORK_EBAY_CLIENT_ID and "
                    "REELWORK_EBAY_CLIENT_SECRET, and that they belong to REELWORK_EBAY_API_URL"
                ) from error
            raise
        self.text = text_of(answer.get("access_token")) if isinstance(answer, dict) else ""
        if not self.text:
            raise SourceUnusable(f"{url} answered without an access_token; check REELWORK_EBAY_API_URL")


def _api(access: Access) -> str:
    return access.config.REELWORK_EBAY_API_URL.rstrip("/")


def _credentials(access: Access) -> tuple[str, str]:
    client = access.config.REELWORK_EBAY_CLIENT_ID
    secret = access.config.REELWORK_EBAY_CLIENT_SECRET
    missing = [
        name
        for name, given in (
            ("REELWORK_EBAY_CLIENT_ID", client),
            ("REELWORK_EBAY_CLIENT_SECRET", secret and secret.get_secret_value()),
        )
        if not given
    ]
    if missing or client is None or secret is None:
        raise CredentialsRefused(
            f"searching eBay needs {' and '.join(missing)}; get them from eBay's developers program "
            "and set them in the environment"
        )
    return client, secret.get_secret_value()


def _entry(where: str, item: Any) -> Entry | BrokenEntry:
    if not isinstance(item, dict) or not (key := text_of(item.get("itemId"))):
        return BrokenEntry(where, "the item has no itemId")
    additional = item.get("additionalImages")
    pictures = [item.get("image"), *(additional if isinstance(additional, list) else [])]
    links = (text_of(picture.get("imageUrl")) for picture in pictures if isinstance(picture, dict))
    locations = tuple(link for link in links if link)
    if not locations:
        return BrokenEntry(f"{where} ({key})", "the item has no picture")
    return Entry(key, text_of(item.get("title")) or key, locations)
