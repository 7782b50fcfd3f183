"""The simulation as a test: some thousand seeds keep every promise, and a seed is a whole run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.campaign import campaign, replay, run_seeds
from tests.simulation.mutations import MUTATIONS
from tests.simulation.store import new_database

REPOSITORY = Path(__file__).parents[2]
SEEDS = 2_000
SEEDS_OF_A_MUTATION = 400  # most are caught by the first ten
REPLAYED = (3, 24, 58)


@pytest.mark.timeout(900)
def test_every_promise_is_kept() -> None:
    tally = campaign(0, SEEDS)
    assert tally.broken == {}, f"replay with: make simulate SEED={min(tally.broken)}"
    assert tally.seeds == SEEDS
    assert tally.kills > SEEDS / 2  # the faults do happen


def test_a_seed_is_a_whole_run() -> None:
    """Again, and in another process that hashes in another way: the same history, to the last word."""
    told = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-m", "tests.simulation.test_simulation"]
        run = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        told.append(run.stdout)
    assert told[0] == told[1] == "".join(f"{seed} {digest(seed)}\n" for seed in REPLAYED)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_rule_is_caught(name: str) -> None:
    tally = run_seeds(0, SEEDS_OF_A_MUTATION, new_database(), name, 1)
    assert tally.broken, f"{MUTATIONS[name].what}, and nobody noticed"


def test_seeds_differ() -> None:
    assert len({digest(seed) for seed in REPLAYED}) == len(REPLAYED)


def digest(seed: int) -> str:
    run = replay(seed)
    assert len(run.history.entries) > 20
    return hashlib.sha256("\n".join(run.history.lines()).encode()).hexdigest()


if __name__ == "__main__":
    for replayed in REPLAYED:
        print(replayed, digest(replayed))
