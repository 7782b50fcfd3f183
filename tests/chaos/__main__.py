"""`make chaos`: a long run, and its figures as Markdown tables or as JSON."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from tests import namespaces
from tests.chaos import clocks
from tests.chaos.account import Figures, Recovery
from tests.chaos.campaign import run
from tests.chaos.stacks import STORES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--store", choices=[*STORES], action="append", help="all where none is named")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = {store: _run(store, kills=asked.kills, seed=asked.seed) for store in asked.store or STORES}
    for reason in filter(None, (namespaces.unavailable(), clocks.unavailable())):
        print(f"Left out of the stacks: {reason}", file=sys.stderr)
    if asked.json:
        print(json.dumps({store: asdict(figures) for store, figures in found.items()}, indent=2))
    else:
        print("\n".join(_tables(found)))


def _run(store: str, *, kills: int, seed: int) -> Figures:
    """In a folder of its own, which stays where the run has failed."""
    folder = Path(tempfile.mkdtemp(prefix="reelwork-chaos-"))
    try:
        figures = run(folder, store=store, kills=kills, seed=seed)
    except BaseException:
        print(f"What the failed run has left is in {folder}.", file=sys.stderr)
        raise
    shutil.rmtree(folder)
    return figures


def _tables(found: dict[str, Figures]) -> Iterator[str]:
    yield f"| | {' | '.join(found)} |"
    yield f"|---|{'---|' * len(found)}"
    for name in Figures.__dataclass_fields__:
        if name != "recovery":
            values = [str(getattr(figures, name)) for figures in found.values()]
            yield f"| {name.replace('_', ' ')} | {' | '.join(values)} |"
    yield ""
    yield "Seconds, median / worst:"
    yield ""
    yield (
        "| store | blow | times | lasted | from its end until every machine works again | from its begin to the next "
        "record by anybody | to the record of all that the dead had begun |"
    )
    yield "|---|---|---|---|---|---|---|"
    for store, figures in found.items():
        for name, recovery in figures.recovery.items():
            yield f"| {store} | {name} | {recovery.blows} | {_cells(recovery)} |"


def _cells(recovery: Recovery) -> str:
    return " | ".join(
        _median_and_worst(seconds)
        for seconds in (recovery.lasted, recovery.again, recovery.progress, recovery.work_in_hand)
    )


def _median_and_worst(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.2f} / {max(seconds):.2f}" if seconds else "-"


if __name__ == "__main__":
    main()
