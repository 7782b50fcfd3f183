"""`python -m tests.simulation --seeds N` runs many seeds; `--seed n` replays one and prints its history."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timedelta

from tests.simulation.campaign import Tally, campaign, replay
from tests.simulation.history import History
from tests.simulation.stores import STORES

SECONDS_BETWEEN_LINES = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="replay this seed and print its history")
    parser.add_argument("--mutation", help="break the product in this way first")
    parser.add_argument("--store", choices=STORES, default=STORES[0], help="where the ledger is")
    parser.add_argument("--processes", type=int, help="default: one for each core")
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options.seed, options.mutation, options.store)
    tally = campaign(
        options.first,
        options.seeds,
        mutation=options.mutation,
        store=options.store,
        processes=options.processes,
        progress=_Progress(options.seeds),
    )
    for seed, violation in sorted(tally.broken.items()):
        history = replay(seed, mutation=options.mutation, store=options.store).history
        tell(seed, violation, history, options.store)
    print(tally)
    return 1 if tally.broken else 0


def _replay(seed: int, mutation: str | None, store: str) -> int:
    run = replay(seed, mutation=mutation, store=store)
    print("\n".join(run.history.lines()))
    print(f"seed {seed}: {run.violation or 'every promise was kept'}")
    return 0 if run.violation is None else 1


def tell(seed: int, violation: str, history: History, store: str) -> None:
    print("\n".join(history.lines()))
    print(f"seed {seed} VIOLATES: {violation}")
    print(f"replay it with: make simulate STORE={store} SEED={seed}\n")


class _Progress:
    """A line every few seconds, also into a file: a long campaign shows how far it is and when it will end."""

    def __init__(self, seeds: int) -> None:
        self._seeds = seeds
        self._told_at = 0.0

    def __call__(self, tally: Tally) -> None:
        if tally.seconds - self._told_at < SECONDS_BETWEEN_LINES:
            return
        self._told_at = tally.seconds
        left = timedelta(seconds=round((self._seeds - tally.seeds) * tally.seconds / tally.seeds))
        print(
            f"{tally.seeds} of {self._seeds} seeds, {len(tally.broken)} violations, "
            f"{tally.seeds / tally.seconds:.1f} seeds/s, {left} left, ends at {datetime.now() + left:%H:%M}",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
