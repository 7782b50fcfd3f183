"""The stores that a run may stand on, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.simulation.sqlite import SqliteStore, new_database
from tests.simulation.store import Store

STORES = ("sqlite", "dynamodb")
MakeStore = Callable[[], Store]


def store_maker(name: str) -> MakeStore:
    """Makes them also in another process."""
    return _dynamodb if name == "dynamodb" else partial(SqliteStore, new_database())


def _dynamodb() -> Store:
    from tests.simulation.dynamodb import DynamoStore  # its emulator takes a second to load

    return DynamoStore()
