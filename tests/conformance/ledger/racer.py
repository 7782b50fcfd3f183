"""A process of its own that records the one asset of each job when it is told to: python -m ... URL.

A line with a job's id is answered with whether the completion came back to this process.
"""

from __future__ import annotations

import json
import sys

from reelwork.ledger import open_ledger
from tests.conformance.ledger.stores import done
from tests.processes import await_the_word


def main(url: str) -> None:
    ledger = open_ledger(url)
    await_the_word()
    for line in sys.stdin:
        fired = ledger.commit(done("frames", "last", job_id=line.strip()))
        print(json.dumps(len(fired)), flush=True)
    ledger.close()


if __name__ == "__main__":
    main(sys.argv[1])
