"""A process of its own that opens ledgers which may not be there yet: python opener.py JOB_ID URL..."""

from __future__ import annotations

import json
import sys

from reelwork.ledger import Work, open_ledger
from tests.conformance.ledger.stores import new_job
from tests.processes import await_the_word


def main(job_id: str, *urls: str) -> None:
    import alembic.command  # noqa: F401  so that all of them arrive at the same time

    await_the_word()
    for url in urls:
        ledger = open_ledger(url)
        ledger.commit(Work(new_job=new_job(job_id)))
        ledger.close()
    print(json.dumps(job_id))


if __name__ == "__main__":
    main(*sys.argv[1:])
