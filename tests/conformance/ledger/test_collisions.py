"""Several writers with ledgers of their own, in the same rows at the same instant.

Nothing is lost, doubled or mixed up, and nobody hears of a collision.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from random import Random

import psycopg
import pytest

from reelwork.errors import JobTransitionRefused, ReelworkError
from reelwork.events import VideoSubmitted
from reelwork.ledger import Completion, Inbox, JobStatus, Ledger, StageUpdate, Work
from reelwork.ledger.job import JobExists
from tests.conformance.ledger.audit import miscounted, open_in_cancelled, untold
from tests.conformance.ledger.stores import (
    Store,
    announced,
    dead_letter,
    done,
    failed,
    fired,
    moved,
    new_job,
    running_job,
    started,
    status,
    topics,
)
from tests.house import ItemDone

WRITERS = 6
Step = Callable[[Ledger], object]


@pytest.fixture
def writers(store: Store) -> Iterator[list[Ledger]]:
    """Nobody may have had to be freed from a deadlock in the end."""
    before = deadlocks(store.url)
    with ExitStack() as opened:
        ledgers = [store.open() for _ in range(WRITERS)]
        for ledger in ledgers:
            opened.callback(ledger.close)
        yield ledgers
    assert deadlocks(store.url) == before


def at_once(writers: Sequence[Ledger], *steps: Step) -> list[object]:
    """What each step gave or raised; all of them begin together, each with a ledger of its own."""
    barrier = threading.Barrier(len(steps))

    def run(ledger: Ledger, step: Step) -> object:
        barrier.wait()
        try:
            return step(ledger)
        except ReelworkError as error:
            return error

    with ThreadPoolExecutor(len(steps)) as threads:
        return [
            future.result() for future in [threads.submit(run, *each) for each in zip(writers, steps, strict=False)]
        ]


def deadlocks(url: str) -> int:
    """As the server counts them: each connection tells when it ends, so this waits for the end of all others."""
    if not url.startswith("postgresql"):
        return 0
    with psycopg.connect(url, autocommit=True) as connection:
        others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        while connection.execute(others).fetchall():
            pass
        count = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ((deadlocks,),) = connection.execute(count).fetchall()
        return int(deadlocks)


def test_a_job_is_cancelled_while_a_stage_of_it_is_born(store: Store, writers: list[Ledger]) -> None:
    for number in range(store.often(100)):
        job_id = f"job-{number}"
        running_job(writers[0], job_id)
        at_once(
            writers,
            lambda ledger: ledger.commit(moved(JobStatus.CANCELLED, job_id=job_id)),  # noqa: B023
            lambda ledger: ledger.commit(announced("frames", 2, job_id=job_id)),  # noqa: B023
            lambda ledger: ledger.commit(done("faces", "a", job_id=job_id)),  # noqa: B023
        )
        assert (
            fired(
                writers[1].commit_all([done("frames", "a", "b", job_id=job_id), announced("faces", 1, job_id=job_id)])
            )
            == []
        )
        assert [stage.closed_at is None for stage in writers[0].stage_status(job_id)] == [False, False]
        assert topics(writers[0], job_id) == []


def test_a_job_is_cancelled_while_its_last_asset_is_recorded(store: Store, writers: list[Ledger]) -> None:
    for number in range(store.often(60)):
        job_id = f"job-{number}"
        running_job(writers[0], job_id)
        writers[0].commit(announced("frames", 1, job_id=job_id))
        _, result = at_once(
            writers,
            lambda ledger: ledger.commit(moved(JobStatus.CANCELLED, job_id=job_id)),  # noqa: B023
            lambda ledger: ledger.commit(done("frames", "a", job_id=job_id)),  # noqa: B023
        )
        (stage,) = writers[0].stage_status(job_id)
        assert [completion] == result if (completion := stage.completion) else result == []
        assert (stage.completed_at is None) is (stage.closed_at is not None)
        assert len(topics(writers[0], job_id)) == (completion is not None)


def test_one_idempotency_key_makes_one_job(store: Store, writers: list[Ledger]) -> None:
    """In groups that hold the same keys the other way round."""
    for number in range(store.often(20)):
        keys = [f"key-{number}-{each}" for each in range(4)]

        def create(ledger: Ledger, turn: int, keys: Sequence[str] = keys) -> list[object]:
            ordered = keys if turn % 2 else keys[::-1]
            return list(ledger.commit_all([Work(new_job=new_job(f"{key}-{turn}", key=key)) for key in ordered]))

        steps = [lambda ledger, turn=turn: create(ledger, turn) for turn in range(WRITERS)]
        results = [result for given in at_once(writers, *steps) for result in given]  # type: ignore[attr-defined]
        assert [result for result in results if result == []] == [[]] * len(keys)
        existing = {result.job_id for result in results if isinstance(result, JobExists)}
        assert existing == {writers[0].job_with_key(key) for key in keys}
        assert len(results) == WRITERS * len(keys)


def test_one_dead_letter_is_replayed_once(store: Store, writers: list[Ledger]) -> None:
    running_job(writers[0])
    for number in range(store.often(20)):
        writers[0].commit(Work(dead_letters=[dead_letter(f"a{number}")]))
        letter = writers[0].dead_letters()[0].dead_letter_id
        results = at_once(writers, *[lambda ledger: ledger.commit(Work(replay=letter))] * WRITERS)  # noqa: B023
        assert sum(result == [] for result in results) == 1
        assert len(topics(writers[0])) == number + 1


def test_one_event_is_consumed_once(store: Store, writers: list[Ledger]) -> None:
    """Groups that hold the same events in another order, with and without a stage, and with what they lead to."""
    for number in range(store.often(20)):
        pairs = [Inbox("q", f"event-{number}-{each}") for each in range(6)]

        def consume(ledger: Ledger, seed: int, pairs: Sequence[Inbox] = pairs) -> list[object]:
            order = Random(seed).sample(pairs, len(pairs))
            events = {pair: [VideoSubmitted(job_id=pair.event_id)] for pair in pairs}
            letters = {pair: [dead_letter(pair.event_id)] for pair in pairs}
            works = [Work(inbox=pair, events=events[pair], dead_letters=letters[pair]) for pair in order]
            return list(ledger.commit_all(works))

        steps = [lambda ledger, seed=seed: consume(ledger, seed) for seed in range(WRITERS)]
        assert at_once(writers, *steps) == [[[]] * len(pairs)] * WRITERS
        assert len(writers[0].dead_letters(limit=1_000)) == (number + 1) * len(pairs)
        assert [topics(writers[0], pair.event_id) for pair in pairs] == [["video.submitted"]] * len(pairs)


def test_the_same_events_told_in_opposite_orders(store: Store, writers: list[Ledger]) -> None:
    """Whoever is first is told of in his own order; the others come too late with all of theirs."""
    for number in range(store.often(20)):
        events = [ItemDone(job_id=f"job-{number}", name=f"{each:03}") for each in range(300)]
        orders = [events, events[::-1]] * (WRITERS // 2)
        steps = [lambda ledger, order=order: ledger.commit(Work(events=order)) for order in orders]
        assert at_once(writers, *steps) == [[]] * WRITERS
        told = [row.event_id for row in writers[0].outbox(f"job-{number}")]
        assert told in [[str(event.identity) for event in order] for order in orders]


def test_groups_that_overlap_in_every_order(store: Store, writers: list[Ledger]) -> None:
    """Two stages, groups that touch one or both of them in any order, each asset told by everybody."""
    ids = [f"{number:03}" for number in range(store.often(240))]
    writers[0].commit_all([announced(stage, len(ids)) for stage in ("frames", "faces")])

    def record(ledger: Ledger, seed: int) -> list[Completion]:
        random = Random(seed)
        parts = [random.sample(ids, len(ids)) for _ in range(2)]
        completions = []
        for first in range(0, len(ids), 12):
            updates: list[StageUpdate] = []
            for stage, part in zip(("frames", "faces"), parts, strict=True):
                updates += (failed if random.random() < 0.2 else done)(stage, *part[first : first + 12]).stages
            random.shuffle(updates)
            inbox = [Inbox("q", f"{seed}-{first}")]
            completions += ledger.commit(Work(stages=updates[: random.choice([1, 2, 2])], consumed=inbox))
        completions += ledger.commit(done("frames", *parts[0]))
        return completions + ledger.commit(done("faces", *parts[1]))

    steps = [lambda ledger, seed=seed: record(ledger, seed) for seed in range(WRITERS)]
    results = at_once(writers, *steps)
    assert [result for result in results if isinstance(result, Exception)] == []
    assert sorted(completion.stage for given in results for completion in given) == ["faces", "frames"]  # type: ignore[attr-defined]
    assert [status(writers[0], stage).done for stage in ("frames", "faces")] == [len(ids)] * 2
    assert miscounted(writers[0]) == []


def test_everything_at_once(store: Store, writers: list[Ledger]) -> None:
    """Moves, replays, cancels, births, outcomes and new jobs in any order, in groups of any size."""
    jobs = [f"job-{number}" for number in range(8)]
    stages = ["frames", "halves", "segments"]
    for job_id in jobs:
        running_job(writers[0], job_id)
    letters = [dead_letter(f"a{number}", job_id=job_id) for number in range(6) for job_id in jobs]
    writers[0].commit(Work(dead_letters=letters))
    numbers = [letter.dead_letter_id for letter in writers[0].dead_letters(limit=100)]

    def work(random: Random) -> Work:
        job_id, stage = random.choice(jobs), random.choice(stages)
        assets = random.sample([f"asset-{number}" for number in range(40)], random.randint(1, 10))
        choice = random.random()
        if choice < 0.5:
            other = (failed if random.random() < 0.3 else done)(
                random.choice(stages), *assets, job_id=random.choice(jobs)
            )
            inbox = [Inbox("q", f"{random.randrange(200)}")]
            return Work(stages=[*done(stage, *assets, job_id=job_id).stages, *other.stages], consumed=inbox)
        if choice < 0.65:
            return announced(stage, random.randint(1, 40), job_id=job_id)
        if choice < 0.75:
            return started(stage, *assets, job_id=job_id)
        if choice < 0.8:
            return Work(replay=random.choice(numbers))
        if choice < 0.83:
            key = f"key-{random.randrange(10)}"
            return Work(new_job=new_job(f"new-{random.getrandbits(64)}", key=key))
        if choice < 0.86:
            return moved(JobStatus.CANCELLED, job_id=job_id)
        return moved(random.choice([JobStatus.FAILED, JobStatus.RUNNING]), job_id=job_id, allowed=frozenset(JobStatus))

    def rampage(ledger: Ledger, seed: int) -> list[Exception]:
        random = Random(seed)
        results: list[object] = []
        for _ in range(store.often(40)):
            results += ledger.commit_all([work(random) for _ in range(random.randint(1, 8))])
        return [result for result in results if isinstance(result, Exception)]

    steps = [lambda ledger, seed=seed: rampage(ledger, seed) for seed in range(WRITERS)]
    for errors in at_once(writers, *steps):
        assert isinstance(errors, list)
        for error in errors:
            assert isinstance(error, JobTransitionRefused | JobExists) or "replayed already" in str(error), error
    assert miscounted(writers[0]) == []
    assert untold(writers[0]) == []
    assert open_in_cancelled(writers[0]) == []


def test_large_stages_in_groups_of_several(store: Store, writers: list[Ledger]) -> None:
    """Far from their end, where nothing can complete; now and then a group that must look at what is known."""
    stages, rounds = [f"stage-{number}" for number in range(6)], store.often(60)
    for stage in stages:
        writers[0].commit(announced(stage, 1_000_000))

    def record(ledger: Ledger, seed: int) -> None:
        random = Random(seed)
        for turn in range(rounds):
            chosen = random.sample(stages, random.randint(1, len(stages)))
            works = [done(stage, f"{seed}-{turn}") for stage in chosen]
            if random.random() < 0.2:
                works.append(started(chosen[0], f"started-{turn}"))
            fired(ledger.commit_all(works))

    assert at_once(writers, *[lambda ledger, seed=seed: record(ledger, seed) for seed in range(WRITERS)]) == [None] * 6
    assert miscounted(writers[0]) == []


def test_the_same_assets_told_at_once_in_another_order(store: Store, writers: list[Ledger]) -> None:
    """By writers that have met nobody before."""
    writers[0].commit(announced("frames", 1_000_000))
    rounds, each_time = store.often(12), store.often(1_500)
    for number in range(rounds):
        ids = [f"{number}-{each:04}" for each in range(each_time)]
        with ExitStack() as opened:
            fresh = [opened.enter_context(closing(store.open())) for _ in range(2)]
            steps = [lambda ledger, ids=ids: ledger.commit(done("frames", *ids)) for ids in (ids, ids[::-1])]
            assert at_once(fresh, *steps) == [[], []]
    assert status(writers[0], "frames").done == rounds * each_time
    assert miscounted(writers[0]) == []
