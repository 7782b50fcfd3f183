"""A process of its own that opens a ledger which may not be there yet: python opener.py URL NAME."""

from __future__ import annotations

import json
import sys

from reelwork.ledger import Work, open_ledger
from tests.conformance.ledger.stores import new_job
from tests.processes import await_the_word


def main(url: str, name: str) -> None:
    import alembic.command  # noqa: F401  so that all of them arrive at the same time

    await_the_word()
    ledger = open_ledger(url)
    ledger.commit(Work(new_job=new_job(name)))
    ledger.close()
    print(json.dumps(name))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
