"""A lease goes to one of those who want it, and only from the hands in which it was seen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from reelwork.ledger import Ledger
from reelwork.ledger.records import Lease
from tests.conformance.ledger.stores import Store


def test_whoever_saw_it_as_it_is_takes_it(ledger: Ledger) -> None:
    assert ledger.lease("relay") == Lease("", 0)
    assert ledger.take_lease("relay", owner="a", was=Lease())
    assert ledger.lease("relay") == Lease("a", 1)
    assert not ledger.take_lease("relay", owner="b", was=Lease())
    assert not ledger.take_lease("relay", owner="b", was=Lease("a", 2))
    assert not ledger.take_lease("relay", owner="b", was=Lease("c", 1))
    assert ledger.take_lease("relay", owner="a", was=Lease("a", 1))
    assert ledger.take_lease("relay", owner="", was=Lease("a", 2))
    assert ledger.lease("relay") == Lease("", 3)
    assert ledger.lease("another") == Lease()


def test_one_of_many_takes_it(store: Store) -> None:
    ledgers = [store.open() for _ in range(4)]

    def take(number: int) -> bool:
        return ledgers[number % 4].take_lease("relay", owner=str(number), was=seen)

    with ThreadPoolExecutor(8) as threads:
        for _ in range(10):
            seen = ledgers[0].lease("relay")
            taken = list(threads.map(take, range(16)))
            assert taken.count(True) == 1
            assert ledgers[1].lease("relay") == Lease(str(taken.index(True)), seen.beats + 1)
    for ledger in ledgers:
        ledger.close()
