"""Many real processes on one ledger: one completion, to one of them; and one that is killed in the middle of it."""

from __future__ import annotations

import json

import pytest

from reelwork.ledger import Ledger
from tests.conformance.ledger.stores import Store, announced, status
from tests.processes import ready_children

HERE = "tests.conformance.ledger"


def test_each_completion_comes_back_to_exactly_one_of_many_processes(store: Store, ledger: Ledger) -> None:
    """Four processes record the same assets of thirty jobs, the last asset of each at the same instant."""
    processes, jobs, assets = 4, store.often(30), 40
    with ready_children(f"{HERE}.recorder", [(store.url, jobs, assets, seed) for seed in range(processes)]) as children:
        for child in children:
            child.go()
        fired = [tuple(completion) for child in children for completion in child.result()]
    assert sorted(fired) == sorted((f"job-{job}", assets) for job in range(jobs))
    for job in range(jobs):
        (event,) = ledger.outbox(f"job-{job}")
        assert json.loads(event.body)["processed_assets"] == assets
        now = status(ledger, "frames", job_id=f"job-{job}")
        assert (now.done, now.late) == (assets, 0)


def test_two_processes_record_the_last_asset_at_the_same_instant(store: Store, ledger: Ledger) -> None:
    """Three hundred times, where that does not take minutes: one completion, to one of them, and one event."""
    jobs = [f"job-{number:04}" for number in range(store.often(300))]
    ledger.commit_all([announced("frames", 1, job_id=job_id) for job_id in jobs])
    with ready_children(f"{HERE}.racer", [(store.url,)] * 2) as racers:
        for racer in racers:
            racer.go()
        for job_id in jobs:
            for racer in racers:
                racer.tell(job_id)
            assert sorted(racer.line() for racer in racers) == ["0", "1"], job_id
    for job_id in jobs:
        (event,) = ledger.outbox(job_id)
        assert json.loads(event.body)["processed_assets"] == 1
        now = status(ledger, "frames", job_id=job_id)
        assert (now.done, now.late) == (1, 0)


@pytest.mark.parametrize("works", [1, 37, 150])
def test_a_writer_killed_in_the_middle_loses_nothing_committed_and_leaves_nothing_half_done(
    store: Store, ledger: Ledger, works: int
) -> None:
    with ready_children(f"{HERE}.writer", [(store.url,)]) as (writer,):
        writer.go()
        told = [int(writer.line()) for _ in range(works)]
        writer.kill()
    ids = [asset.asset_id for asset in ledger.assets("job", "frames")]
    committed = len(ids) // 3
    assert committed >= len(told)
    assert ids == [f"{number:06}-{part}" for number in range(committed) for part in range(3)]
    assert [json.loads(row.body)["total_ranges"] for row in ledger.outbox("job")] == list(range(committed))
    consumed = ledger.consumers([f"{number:06}" for number in range(committed + 1)])
    assert [bool(queues) for queues in consumed.values()] == [True] * committed + [False]
    assert status(ledger, "frames").done == 3 * committed
    (completion,) = ledger.commit(announced("frames", 3 * committed))
    assert completion.processed_assets == 3 * committed


def test_processes_that_make_the_same_new_ledgers_at_once(new_urls: list[str]) -> None:
    """Several ledgers, because the race is short."""
    names = [f"job-{number}" for number in range(4)]
    with ready_children(f"{HERE}.opener", [(name, *new_urls) for name in names]) as children:
        for child in children:
            child.go()
        assert [child.result() for child in children] == names
    for url in new_urls:
        ledger = Store(url).open()
        assert sorted(job.job_id for job in ledger.jobs()) == names
        ledger.close()
