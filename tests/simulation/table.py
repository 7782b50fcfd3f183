"""`python -m tests.simulation.table`: breaks every rule in turn and prints, as Markdown, what caught it, under which
faults, and after how many seeds.

Ends with 1 when one of them goes unnoticed, or one is noticed that can do no harm.
"""

from __future__ import annotations

import argparse
import re
import sys
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import fields
from functools import reduce
from multiprocessing import get_context
from random import Random

from tests.simulation.campaign import Tally, run_seeds
from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.scenario import Scenario
from tests.simulation.stores import store_maker
from tests.simulation.suite import failing_tests
from tests.simulation.weather import Weather

CATCHES = 5
SHOWN_CHARACTERS_MAX = 110
HEAD = """| mutation | rule that is broken | caught by | faults common to its first five catches | seeds |
|---|---|---|---|---|"""
WORDS = {
    "lose": "messages lost",
    "duplicate": "messages doubled",
    "reorder": "messages reordered",
    "delay": "messages delayed",
    "broker_refuses": "broker refuses",
    "broker_unconfirmed": "confirmation lost",
    "acknowledgement_lost": "acknowledgement lost",
    "database_refuses": "database refuses",
    "commit_fails": "commit fails",
    "answer_lost": "answer of a commit lost",
    "commit_late": "commit takes effect late",
    "crash_before": "crash before a call",
    "crash_after": "crash after a call",
    "slow": "slow calls",
    "steps_between_strikes": "crash or stall at any step",
    "overtaken": "another conductor is faster",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.table", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000, help="how many seeds a mutation may live")
    parser.add_argument("--harmless-seeds", type=int, default=500, help="how many seeds one lives that does no harm")
    options = parser.parse_args()
    wrong = 0
    print(HEAD)
    with ProcessPoolExecutor(mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        make_store = store_maker("sqlite")
        running: dict[str, Future[Tally] | Future[list[str]]] = {}
        for name, mutation in MUTATIONS.items():
            if mutation.suite is not None:
                running[name] = pool.submit(failing_tests, name, keyword=mutation.suite)
            else:
                seeds = options.harmless_seeds if mutation.harmless else options.seeds
                running[name] = pool.submit(run_seeds, 0, seeds, make_store, name, CATCHES)
        for name, future in running.items():
            mutation, result = MUTATIONS[name], future.result()
            caught = bool(result.broken if isinstance(result, Tally) else result)
            wrong += caught == bool(mutation.harmless)
            row = _by_suite(result) if isinstance(result, list) else _by_seeds(mutation, result)
            print(f"| `{name}` | {mutation.what} | {row} |", flush=True)
    return 1 if wrong else 0


def _by_suite(failed: list[str]) -> str:
    if not failed:
        return "**nothing** | | "
    return "conformance suite: " + ", ".join(f"`{name}`" for name in failed) + " | | no seeds"


def _by_seeds(mutation: Mutation, tally: Tally) -> str:
    if not tally.broken:
        return (
            f"nothing, rightly: {mutation.harmless}" if mutation.harmless else "**nothing**"
        ) + f" | | {tally.seeds}"
    first = min(tally.broken)
    faults = reduce(frozenset.__and__, map(_faults, tally.broken))
    return f"{_general(tally.broken[first])} | {', '.join(sorted(faults)) or 'none'} | {first + 1}"


def _faults(seed: int) -> frozenset[str]:
    """What may strike in the run of this seed, in words."""
    dice = Random(seed)
    scenario, weather = Scenario.of(dice), Weather.of(dice)
    words = {
        WORDS[field.name]
        for faults in (weather, weather.messages)
        for field in fields(faults)
        if field.name in WORDS and getattr(faults, field.name)
    }
    words |= {f"a {fate.kind} handler" for job in scenario.jobs for fate in job.fates.values() if fate.kind != "fine"}
    words |= {f"operator: {what}" for _, what in scenario.interventions}
    words |= {"operator: cancel" for job in scenario.jobs if job.cancelled_at is not None}
    return frozenset(words)


def _general(violation: str) -> str:
    """The violation without the ids, which say nothing."""
    general = re.sub(r"\('[0-9a-f-]{36}', '(\w)'\)", r"stage \1", violation)
    general = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b(?=\w*\d)[0-9a-f]{6}\b", "…", general)
    return general[:SHOWN_CHARACTERS_MAX].replace("|", "/")


if __name__ == "__main__":
    sys.exit(main())
