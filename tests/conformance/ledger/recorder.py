"""A process of its own that records the assets of many jobs: python recorder.py URL JOBS ASSETS SEED.

Prints what completions came back to it. Every process records every asset, in an order of its own, and all of them the
last asset last, at nearly the same instant.
"""

from __future__ import annotations

import json
import sys
from random import Random

from reelwork.ledger import open_ledger
from tests.conformance.ledger.stores import announced, done
from tests.processes import await_the_word


def main(url: str, jobs: int, assets: int, seed: int) -> None:
    ledger = open_ledger(url)
    random = Random(seed)
    await_the_word()
    fired = []
    for job in range(jobs):
        ids = [f"{number:04}" for number in range(assets - 1)]
        random.shuffle(ids)
        works = [done("frames", *ids[first : first + 7], job_id=f"job-{job}") for first in range(0, len(ids), 7)]
        works.insert(random.randrange(len(works)), announced("frames", assets, job_id=f"job-{job}"))
        for work in works:
            fired += ledger.commit(work)
        fired += ledger.commit(done("frames", "last", job_id=f"job-{job}"))
    ledger.close()
    print(json.dumps([[completion.job_id, completion.processed_assets] for completion in fired]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
