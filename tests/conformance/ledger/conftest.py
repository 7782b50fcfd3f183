"""Every test of this folder runs once a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reelwork.ledger import Ledger
from tests.clock import ManualClock
from tests.conformance.ledger.stores import STORES, Store


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(STORES[request.param](tmp_path))


@pytest.fixture
def ledger(store: Store) -> Iterator[Ledger]:
    ledger = store.open()
    yield ledger
    ledger.close()


@pytest.fixture
def clock(store: Store) -> ManualClock:
    return store.clock
