"""`python -m tests.simulation --seeds N` runs many seeds; `--seed n` replays one and prints its history."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.campaign import Tally, campaign, replay
from tests.simulation.history import History


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="replay this seed and print its history")
    parser.add_argument("--mutation", help="break the product in this way first")
    parser.add_argument("--processes", type=int, help="default: one for each core")
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options.seed, options.mutation)
    tally = campaign(
        options.first,
        options.seeds,
        mutation=options.mutation,
        processes=options.processes,
        progress=_show if sys.stderr.isatty() else lambda _tally: None,
    )
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for seed, violation in sorted(tally.broken.items()):
        tell(seed, violation, replay(seed, mutation=options.mutation).history)
    print(tally)
    return 1 if tally.broken else 0


def _replay(seed: int, mutation: str | None) -> int:
    run = replay(seed, mutation=mutation)
    print("\n".join(run.history.lines()))
    print(f"seed {seed}: {run.violation or 'every promise was kept'}")
    return 0 if run.violation is None else 1


def tell(seed: int, violation: str, history: History) -> None:
    print("\n".join(history.lines()))
    print(f"seed {seed} VIOLATES: {violation}")
    print(f"replay it with: make simulate SEED={seed}\n")


def _show(tally: Tally) -> None:
    print(f"\r{tally}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
