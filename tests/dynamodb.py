"""Tables of DynamoDB on the emulator of this test run, and what lies in them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from reelwork.ledger.dynamodb.address import parse_address
from reelwork.ledger.dynamodb.items import decode
from tests.moto import REGION, shared_server


@contextlib.contextmanager
def fresh_tables(*, made: bool = False) -> Iterator[str]:
    """The URL of an empty ledger that nobody else uses; `made`: it is there already, which saves time, else it may be
    made.

    The credentials are in the environment, where child processes find them too.
    """
    server = shared_server()
    before = dict(os.environ)
    os.environ.update(server.environment)
    url = _emptied.pop() if made and _emptied else _new_url()
    try:
        yield url
    finally:
        address = parse_address(url)
        server.empty(address.ledger_table, address.completions_table)
        if made:
            _emptied.append(url)
        os.environ.clear()
        os.environ.update(before)


def _new_url() -> str:
    server = shared_server()
    options = {"region": REGION, "endpoint": server.url, "create": "on"}
    return f"dynamodb://{server.new_name()}?{urlencode(options)}"


_emptied: list[str] = []


def items(ledger: Any) -> list[dict[str, Any]]:
    """All that is in the table of a ledger."""
    pages = ledger.store.client.get_paginator("scan").paginate(TableName=ledger.store.table, ConsistentRead=True)
    return [decode(raw) for page in pages for raw in page["Items"]]
