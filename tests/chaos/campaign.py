"""One run of chaos: jobs keep coming, a killer deals its blows, then everything must end as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

from reelwork.ledger import JobStatus, Ledger, open_ledger
from tests.chaos.account import BLAMED, Figures, check_job, figures
from tests.chaos.customer import Clips, Customer
from tests.chaos.diary import Diary
from tests.chaos.fleet import Fleet, fleet
from tests.chaos.killer import Killer
from tests.chaos.stacks import STORES
from tests.chaos.stores import Store
from tests.e2e.commands import reelwork

CALM_SECONDS_MAX: Final = 120.0
LOOK_SECONDS: Final = 0.1
REPLAYS_MAX: Final = 3


def run(folder: Path, *, store: str, kills: int, seed: int) -> Figures:
    """Raises AssertionError where anything was lost, doubled or left behind."""
    with STORES[store](folder, kills) as opened:
        return _run(folder, opened, kills=kills, dice=Random(seed))


def _run(folder: Path, store: Store, *, kills: int, dice: Random) -> Figures:
    clips, diary = Clips(folder), Diary(folder / "diary")
    with fleet(folder, store.posts) as running:
        killer = Killer(running, store, diary, dice)
        with Customer(running.url, clips) as customer:
            running.poison.touch()
            customer.open()
            killer.deal(kills)
            customer.close()
            customer.wait_until_over(seconds_max=CALM_SECONDS_MAX)
            running.poison.unlink()
            replayed = replay_what_was_blamed(customer)
            for job_id, order in customer.jobs.items():
                job = customer.get(f"/jobs/{job_id}")
                assert job["status"] == "completed", job
                assert customer.results(job_id) == clips.expected(order), job_id
        wait_until_empty(store)
        assert set(running.stop()) == {0}, running.log()
        assert running.left_over() == []
        check_doctor(running, store)
    with reopened(store) as ledger:
        check(ledger, store, customer, replayed)
        return figures(
            ledger, customer, killer.blows, diary.calls(), replayed=replayed, starts_refused=running.refused_starts
        )


def replay_what_was_blamed(customer: Customer) -> frozenset[str]:
    """The jobs that failed, which a replay of their dead letters has completed.

    No kill may fail a job, but for one that hits the same work three times in a row: that cannot be told from work that
    kills. The poisoned job, which does kill, is one of them.
    """
    replayed = set[str]()
    for _ in range(REPLAYS_MAX):
        letters = customer.letters()
        if not letters:
            break
        for letter in letters:
            assert BLAMED.search(letter["error"]), letter
            customer.post(f"/dead-letters/{letter['dead_letter_id']}/replay")
            replayed.add(letter["job_id"])
        customer.wait_until_over(seconds_max=CALM_SECONDS_MAX)
    return frozenset(replayed)


@contextlib.contextmanager
def reopened(store: Store) -> Iterator[Ledger]:
    ledger = open_ledger(store.url)
    try:
        yield ledger
    finally:
        ledger.close()


def check(ledger: Ledger, store: Store, customer: Customer, replayed: frozenset[str]) -> None:
    known = {job.job_id for status in JobStatus for job in ledger.jobs(statuses=[status], limit=100_000)}
    assert known == set(customer.jobs), "a submit that was repeated has made a second job, or none"
    poisoned = {job_id for job_id, order in customer.jobs.items() if order.poisoned}
    assert poisoned <= replayed, "the job whose tile kills its worker must fail, and be brought back by a replay"
    for job_id, order in customer.jobs.items():
        check_job(ledger, job_id, order, was_replayed=job_id in replayed)
    assert store.waiting() == 0


def wait_until_empty(store: Store) -> None:
    """Copies of messages that were published again may still wait for somebody to see that they are done."""
    deadline = time.monotonic() + CALM_SECONDS_MAX
    while waiting := store.waiting():
        assert time.monotonic() < deadline, f"{waiting} messages lie in queues still"
        time.sleep(LOOK_SECONDS)


def check_doctor(running: Fleet, store: Store) -> None:
    ended = reelwork("doctor", "--data", running.folder / "data", "--json", environment=store.settings)
    assert ended.status == 0, json.dumps(ended.document, indent=2)
