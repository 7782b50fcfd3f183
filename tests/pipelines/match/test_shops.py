"""Shopify and eBay, each spoken to over HTTP by a server that answers as theirs do."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from reelwork.pipelines.match.access import Access
from reelwork.pipelines.match.sources import BrokenEntry, Product, SourceUnusable, list_products, load_source
from reelwork.pipelines.match.web import DownloadRefused, DownloadUnavailable
from reelwork.settings import Config
from tests.web_server import LOCALHOST, Answer, Request, WebServer, web_server

CLIENT, SECRET = "client-id", "client-secret"
TOKEN_PATH, SEARCH_PATH = "/identity/v1/oauth2/token", "/buy/browse/v1/item_summary/search"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as served:
        yield served


def listed(access: Access, **source: object) -> tuple[list[Product], list[str]]:
    found = list(list_products([load_source(source)], access))
    return [one for one in found if isinstance(one, Product)], [
        str(one) for one in found if isinstance(one, BrokenEntry)
    ]


def as_json(value: object) -> Answer:
    return Answer(json.dumps(value).encode(), "application/json")


class TestShopify:
    @staticmethod
    def shop(server: WebServer, products: list[Any], path: str = "/products.json") -> None:
        """As a shop pages its list: by number, 250 at most."""

        def route(request: Request) -> Answer:
            limit, page = int(request.query["limit"]), int(request.query["page"])
            assert limit <= 250
            return as_json({"products": products[(page - 1) * limit : page * limit]})

        server.routes[path] = route

    @staticmethod
    def product(number: int, images: int = 1) -> dict[str, Any]:
        sources = [{"src": f"https://cdn.shop.example/{number}-{image}.jpg?v=1"} for image in range(images)]
        return {"id": number, "title": f"Product {number}", "handle": f"product-{number}", "images": sources}

    # a shop's address in all the forms that people copy
    @pytest.mark.parametrize(
        ("given", "path"),
        [
            ("", "/products.json"),
            ("/", "/products.json"),
            ("/products.json?page=3", "/products.json"),
            ("/collections/mugs", "/collections/mugs/products.json"),
        ],
    )
    def test_all_pages_are_read(self, server: WebServer, access: Access, given: str, path: str) -> None:
        self.shop(server, [self.product(number) for number in range(1, 262)], path)
        products, told = listed(access, source="shopify", url=server.url(given))
        assert [product.product_id for product in products] == [str(number) for number in range(1, 262)]
        assert products[0].title == "Product 1"
        assert products[0].images[0].location == "https://cdn.shop.example/1-0.jpg?v=1"
        assert told == []
        assert len(server.requests) == 2

    def test_the_first_so_many_are_enough(self, server: WebServer, access: Access) -> None:
        self.shop(server, [self.product(number) for number in range(30)])
        products, _ = listed(access, source="shopify", url=server.url(""), products_max=10)
        assert len(products) == 10
        assert len(server.requests) == 1

    def test_broken_products_are_told_and_the_rest_goes_on(self, server: WebServer, access: Access) -> None:
        broken: list[Any] = [None, "text", {"title": "no id"}, {"id": 8}, {"id": 9, "images": [{"src": None}, 3]}]
        self.shop(server, [self.product(1), *broken, self.product(2, images=2)])
        products, told = listed(access, source="shopify", url=server.url(""))
        assert [(product.product_id, len(product.images)) for product in products] == [("1", 1), ("2", 2)]
        assert told == [
            "product 2: the product has no id",
            "product 3: the product has no id",
            "product 4: the product has no id",
            "product 5 (8): the product has no picture",
            "product 6 (9): the product has no picture",
        ]

    def test_an_empty_shop_is_told(self, server: WebServer, access: Access) -> None:
        self.shop(server, [])
        assert listed(access, source="shopify", url=server.url("")) == (
            [],
            [f"{server.url('')}: the shop lists no products"],
        )

    # (answer, error, what is said)
    @pytest.mark.parametrize(
        ("answer", "error", "told"),
        [
            (Answer(status=404), SourceUnusable, "may not be Shopify's, or does not publish its products"),
            (Answer(b"<!doctype html>", "text/html"), DownloadRefused, r"web page \(HTML\), not a Shopify shop's"),
            (Answer(b"not json", "application/json"), SourceUnusable, "is not JSON"),
            (Answer(b"[]", "application/json"), SourceUnusable, 'holds no "products"'),
            (Answer(status=503, headers={"Retry-After": "999"}), DownloadUnavailable, "answered 503"),
        ],
    )
    def test_what_is_no_list_is_refused(
        self, server: WebServer, access: Access, answer: Answer, error: type[Exception], told: str
    ) -> None:
        server.routes["/products.json"] = lambda _: answer
        with pytest.raises(error, match=told):
            listed(access, source="shopify", url=server.url(""))


class Ebay:
    """Answers as eBay's OAuth and Browse APIs do; tokens are good for so many searches."""

    def __init__(self, server: WebServer, items: list[Any], *, searches_per_token: int = 100) -> None:
        self._items = items
        self._searches_per_token = searches_per_token
        self._left: dict[str, int] = {}
        server.routes[TOKEN_PATH] = self._token
        server.routes[SEARCH_PATH] = self._search

    def _token(self, request: Request) -> Answer:
        given = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        if given != f"{CLIENT}:{SECRET}":
            return Answer(b'{"error":"invalid_client"}', "application/json", status=401)
        form = parse_qs(request.body.decode())
        assert request.method == "POST"
        assert form == {"grant_type": ["client_credentials"], "scope": ["https://api.ebay.com/oauth/api_scope"]}
        token = f"token-{len(self._left)}"
        self._left[token] = self._searches_per_token
        return as_json({"access_token": token, "expires_in": 7200, "token_type": "Application Access Token"})

    def _search(self, request: Request) -> Answer:
        token = request.headers["authorization"].removeprefix("Bearer ")
        if self._left.get(token, 0) == 0:
            return Answer(b'{"errors":[{"errorId":1001}]}', "application/json", status=401)
        self._left[token] -= 1
        limit, offset = int(request.query["limit"]), int(request.query["offset"])
        assert 1 <= limit <= 200
        assert offset % limit == 0
        answer: dict[str, Any] = {"total": len(self._items), "limit": limit, "offset": offset}
        if items := self._items[offset : offset + limit]:
            answer["itemSummaries"] = items  # absent where there are none
        return as_json(answer)


def item(number: int) -> dict[str, Any]:
    return {
        "itemId": f"v1|{number:012d}|0",
        "title": f"Item {number}",
        "image": {"imageUrl": f"https://i.ebayimg.example/{number}-0.jpg"},
        "additionalImages": [{"imageUrl": f"https://i.ebayimg.example/{number}-1.jpg"}],
    }


class TestEbay:
    @staticmethod
    def access(server: WebServer, *, client: str | None = CLIENT, secret: str | None = SECRET) -> Access:
        config = Config.model_validate(
            {
                "REELWORK_ALLOWED_NETWORKS": LOCALHOST,
                "REELWORK_EBAY_API_URL": server.url("/"),
                "REELWORK_EBAY_CLIENT_ID": client,
                "REELWORK_EBAY_CLIENT_SECRET": secret,
            }
        )
        return Access.of(config)

    def test_all_pages_of_a_search_are_read(self, server: WebServer) -> None:
        Ebay(server, [item(number) for number in range(430)])
        source = {"source": "ebay", "query": "red mug & cup", "items_max": 1000, "marketplace": "EBAY_DE"}
        products, told = listed(self.access(server), **source)
        assert [product.title for product in products] == [f"Item {number}" for number in range(430)]
        assert [image.location for image in products[3].images] == [
            "https://i.ebayimg.example/3-0.jpg",
            "https://i.ebayimg.example/3-1.jpg",
        ]
        assert len({product.product_id for product in products}) == 430
        assert told == []
        search = server.requests[1]
        assert search.query["q"] == "red mug & cup"
        assert search.headers["x-ebay-c-marketplace-id"] == "EBAY_DE"
        assert len(server.requests) == 4

    def test_the_first_so_many_are_enough(self, server: WebServer) -> None:
        Ebay(server, [item(number) for number in range(430)])
        products, _ = listed(self.access(server), source="ebay", query="mug", items_max=5)
        assert len(products) == 5

    def test_a_token_that_has_ended_is_renewed(self, server: WebServer) -> None:
        Ebay(server, [item(number) for number in range(600)], searches_per_token=1)
        products, _ = listed(self.access(server), source="ebay", query="mug", items_max=600)
        assert len(products) == 600

    def test_broken_items_are_told_and_the_rest_goes_on(self, server: WebServer) -> None:
        broken: list[Any] = [None, {"title": "no id"}, {"itemId": "v1|7|0", "image": None, "additionalImages": "x"}]
        Ebay(server, [item(1), *broken, item(2)])
        products, told = listed(self.access(server), source="ebay", query="mug")
        assert [product.title for product in products] == ["Item 1", "Item 2"]
        assert told == [
            "item 2: the item has no itemId",
            "item 3: the item has no itemId",
            "item 4 (v1|7|0): the item has no picture",
        ]

    def test_nothing_found_is_told(self, server: WebServer) -> None:
        Ebay(server, [])
        assert listed(self.access(server), source="ebay", query="mug") == (
            [],
            ["ebay: nothing was found for 'mug' on EBAY_US"],
        )

    # (client, secret, the variables that the error names)
    @pytest.mark.parametrize(
        ("client", "secret", "named"),
        [
            (None, SECRET, "needs REELWORK_EBAY_CLIENT_ID;"),
            (CLIENT, None, "needs REELWORK_EBAY_CLIENT_SECRET;"),
            (CLIENT, "", "needs REELWORK_EBAY_CLIENT_SECRET;"),
            (None, None, "needs REELWORK_EBAY_CLIENT_ID and REELWORK_EBAY_CLIENT_SECRET;"),
        ],
    )
    def test_missing_credentials_are_named_before_anything_is_asked(
        self, server: WebServer, client: str | None, secret: str | None, named: str
    ) -> None:
        with pytest.raises(SourceUnusable, match=named):
            load_source({"source": "ebay", "query": "mug"}).check(self.access(server, client=client, secret=secret))
        assert server.requests == []

    def test_wrong_credentials_are_named_and_not_shown(self, server: WebServer) -> None:
        Ebay(server, [item(1)])
        told = r"eBay refuses the credentials.*REELWORK_EBAY_CLIENT_ID and REELWORK_EBAY_CLIENT_SECRET"
        with pytest.raises(SourceUnusable, match=told) as refused:
            listed(self.access(server, secret="wrong-secret"), source="ebay", query="mug")
        assert "wrong-secret" not in str(refused.value)
        assert "wrong-secret" not in repr(self.access(server, secret="wrong-secret"))

    def test_credentials_do_not_follow_a_redirect(self, server: WebServer) -> None:
        with web_server() as thief:
            server.redirect(TOKEN_PATH, thief.url("/steal"))
            with pytest.raises(DownloadRefused, match="answered 302"):
                listed(self.access(server), source="ebay", query="mug")
            assert thief.requests == []

    # an answer that is none of eBay's
    @pytest.mark.parametrize(
        ("path", "answer"), [(TOKEN_PATH, {}), (TOKEN_PATH, []), (SEARCH_PATH, []), (SEARCH_PATH, {"itemSummaries": 3})]
    )
    def test_another_server_is_no_ebay(self, server: WebServer, path: str, answer: object) -> None:
        Ebay(server, [item(1)])
        server.routes[path] = lambda _: as_json(answer)
        with pytest.raises(SourceUnusable, match="check REELWORK_EBAY_API_URL"):
            listed(self.access(server), source="ebay", query="mug")


def test_no_shop_is_asked_on_a_private_address_that_is_not_allowed(server: WebServer, tmp_path: Path) -> None:
    TestShopify.shop(server, [TestShopify.product(1)])
    with pytest.raises(DownloadRefused, match="not a public address"):
        listed(Access.of(Config(REELWORK_SOURCE_FOLDERS=str(tmp_path))), source="shopify", url=server.url(""))
    assert server.requests == []
