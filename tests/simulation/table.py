"""`python -m tests.simulation.table`: breaks every rule in turn and prints which promise it cost, after how many seeds.

Ends with 1 when one of them goes unnoticed.
"""

from __future__ import annotations

import argparse
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.simulation.campaign import Tally, run_seeds
from tests.simulation.mutations import MUTATIONS
from tests.simulation.store import new_database

SHOWN_CHARACTERS_MAX = 110


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.table", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many seeds a mutation may live")
    options = parser.parse_args()
    unnoticed = 0
    print("| the rule that is broken | seeds until it was caught | caught by |\n|---|---|---|")
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        database = new_database()
        running = {name: pool.submit(run_seeds, 0, options.seeds, database, name, 1) for name in MUTATIONS}
        for name, future in running.items():
            tally = future.result()
            unnoticed += not tally.broken
            print(f"| {MUTATIONS[name].what} | {tally.seeds} | {_caught_by(tally)} |", flush=True)
    return 1 if unnoticed else 0


def _caught_by(tally: Tally) -> str:
    """The violation without the ids, which say nothing."""
    if not tally.broken:
        return "**nothing**"
    (violation,) = tally.broken.values()
    general = re.sub(r"\('[0-9a-f-]{36}', '(\w)'\)", r"stage \1", violation)
    general = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b(?=\w*\d)[0-9a-f]{6}\b", "…", general)
    return general[:SHOWN_CHARACTERS_MAX].replace("|", "/")


if __name__ == "__main__":
    sys.exit(main())
