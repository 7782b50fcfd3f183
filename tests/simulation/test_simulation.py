"""The simulation as a test: some thousand seeds keep every promise, and a seed is a whole run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.simulation.campaign import campaign, replay, run_seeds
from tests.simulation.mutations import MUTATIONS
from tests.simulation.stores import store_maker
from tests.simulation.suite import failing_tests

REPOSITORY = Path(__file__).parents[2]
SEEDS = 2_000
SEEDS_OF_A_MUTATION = 400  # most are caught by the first ten
SEEDS_OF_A_HARMLESS_MUTATION = 60
SEEDS_ON_DYNAMODB = 12
REPLAYED = {"sqlite": (3, 7, 24, 58), "dynamodb": (3, 7)}


@pytest.mark.timeout(900)
def test_every_promise_is_kept() -> None:
    tally = campaign(0, SEEDS)
    assert tally.broken == {}, f"replay with: make simulate SEED={min(tally.broken)}"
    assert tally.seeds == SEEDS
    assert tally.kills > SEEDS / 2  # the faults do happen


def test_every_promise_is_kept_on_dynamodb() -> None:
    tally = run_seeds(0, SEEDS_ON_DYNAMODB, store_maker("dynamodb"), None, 1)
    assert tally.broken == {}, f"replay with: make simulate STORE=dynamodb SEED={min(tally.broken)}"
    assert tally.kills > 0
    assert tally.collisions > 0  # transactions do meet


@pytest.mark.parametrize("store", REPLAYED)
def test_a_seed_is_a_whole_run(store: str) -> None:
    """Again, and in another process that hashes in another way: the same history, to the last word."""
    told = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-m", "tests.simulation.test_simulation", store]
        run = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        told.append(run.stdout)
    assert told[0] == told[1] == "".join(f"{seed} {digest(seed, store)}\n" for seed in REPLAYED[store])


@pytest.mark.parametrize("name", [name for name, each in MUTATIONS.items() if not (each.harmless or each.suite)])
def test_a_broken_rule_is_caught(name: str) -> None:
    tally = run_seeds(0, SEEDS_OF_A_MUTATION, store_maker("sqlite"), name, 1)
    assert tally.broken, f"{MUTATIONS[name].what}, and nobody noticed"


@pytest.mark.parametrize("name", [name for name, each in MUTATIONS.items() if each.harmless])
def test_a_second_line_of_defence_holds(name: str) -> None:
    assert run_seeds(0, SEEDS_OF_A_HARMLESS_MUTATION, store_maker("sqlite"), name, 1).broken == {}


@pytest.mark.parametrize("name", [name for name, each in MUTATIONS.items() if each.suite])
def test_the_conformance_suite_catches_what_the_simulation_does_not_run(name: str) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        failed = pool.submit(failing_tests, name, keyword=MUTATIONS[name].suite or "").result()
    assert {store for store in ("sqlite", "postgresql") if any(store in test for test in failed)} == {
        "sqlite",
        "postgresql",
    }


def test_seeds_differ() -> None:
    seeds = REPLAYED["sqlite"]
    assert len({digest(seed, "sqlite") for seed in seeds}) == len(seeds)


def digest(seed: int, store: str) -> str:
    run = replay(seed, store=store)
    assert len(run.history.entries) > 20
    return hashlib.sha256("\n".join(run.history.lines()).encode()).hexdigest()


if __name__ == "__main__":
    for replayed in REPLAYED[sys.argv[1]]:
        print(replayed, digest(replayed, sys.argv[1]))
