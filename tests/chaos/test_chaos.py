"""A short run of chaos on each store, and on one whole stack; `make chaos` makes long ones and prints their figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.campaign import run

SEED = 1
RUNS = {"sqlite": 7, "postgresql": 7, "rabbitmq-stack": 3}
"""How many kills."""


@pytest.mark.parametrize(("store", "kills"), RUNS.items())
def test_kills_cost_time_and_nothing_else(tmp_path: Path, store: str, kills: int) -> None:
    figures = run(tmp_path, store=store, kills=kills, seed=SEED)
    assert figures.kills >= kills
    assert figures.jobs_replayed >= 1
