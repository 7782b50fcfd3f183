"""Every scenario runs once a store, as the ledger's own tests do."""

from tests.conformance.ledger.conftest import clock, kind, ledger, store

__all__ = ["clock", "kind", "ledger", "store"]
