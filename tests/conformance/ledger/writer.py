"""A process of its own that commits works of three assets, an event and an inbox row until it is killed: -m ... URL.

Prints the number of each work after its commit: what is printed must be there whatever happens next.
"""

from __future__ import annotations

import sys
from itertools import count

from reelwork.events import VideoRangesBatch, stable_event_id
from reelwork.ledger import Inbox, open_ledger
from tests.conformance.ledger.stores import done
from tests.processes import await_the_word


def main(url: str) -> None:
    ledger = open_ledger(url)
    await_the_word()
    for number in count():
        event = VideoRangesBatch(job_id="job", event_id=stable_event_id(f"written {number}"), total_ranges=number)
        ids = [f"{number:06}-{part}" for part in range(3)]
        ledger.commit(done("frames", *ids, events=[event], inbox=Inbox("q", f"{number:06}")))
        print(number, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
