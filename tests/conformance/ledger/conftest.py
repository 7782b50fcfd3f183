"""Every test of this folder runs once a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from reelwork.ledger import Ledger
from tests.clock import ManualClock
from tests.conformance.ledger.stores import STORES, Store


@pytest.fixture(params=sorted(STORES))
def kind(request: pytest.FixtureRequest) -> str:
    """The name of a store in STORES."""
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path) -> Iterator[Store]:
    with STORES[kind](tmp_path, "reelwork") as url:
        yield Store(url)


@pytest.fixture
def new_urls(kind: str, tmp_path: Path) -> Iterator[list[str]]:
    """Where ledgers can be that are not there yet."""
    with ExitStack() as stores:
        count = 1 if kind == "dynamodb" else 4
        yield [stores.enter_context(STORES[kind](tmp_path, f"new-{number}")) for number in range(count)]


@pytest.fixture
def ledger(store: Store) -> Iterator[Ledger]:
    ledger = store.open()
    yield ledger
    ledger.close()


@pytest.fixture
def clock(store: Store) -> ManualClock:
    return store.clock
