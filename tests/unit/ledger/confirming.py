"""A process of its own that commits until the database goes away: python -m ... URL NAME.

Prints what was confirmed to it, one line each: `asset STAGE ID`, or `completion STAGE` when it has just filled a stage.
"""

from __future__ import annotations

import sys
from itertools import count

from reelwork.errors import StoreUnavailable
from reelwork.ledger import open_ledger
from tests.conformance.ledger.stores import announced, done
from tests.processes import await_the_word


def main(url: str, name: str) -> None:
    ledger = open_ledger(url)
    await_the_word()
    try:
        for number in count():
            ledger.commit(done("frames", f"{name}-{number}"))
            print("asset frames", f"{name}-{number}", flush=True)
            small = f"small-{name}-{number}"
            ledger.commit(announced(small, 1))
            (_,) = ledger.commit(done(small, "only"))
            print("completion", small, flush=True)
    except StoreUnavailable:
        return


if __name__ == "__main__":
    main(*sys.argv[1:])
