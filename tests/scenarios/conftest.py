"""Every scenario runs once a store that holds the queues, too, as the ledger's own tests do."""

import pytest

from tests.conformance.ledger.conftest import clock, ledger, store
from tests.conformance.ledger.stores import SQL_STORES

__all__ = ["clock", "kind", "ledger", "store"]


@pytest.fixture(params=SQL_STORES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)
