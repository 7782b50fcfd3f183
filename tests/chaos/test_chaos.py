"""A short run of chaos on each store; `make chaos` makes a long one and prints its figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.campaign import run
from tests.chaos.stores import STORES

KILLS, SEED = 7, 1


@pytest.mark.parametrize("store", STORES)
def test_kills_cost_time_and_nothing_else(tmp_path: Path, store: str) -> None:
    figures = run(tmp_path, store=store, kills=KILLS, seed=SEED)
    assert figures.kills >= KILLS
    assert figures.jobs_replayed >= 1
