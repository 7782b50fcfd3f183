"""Many seeds on all cores: which of them broke a promise, and how long it took."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from multiprocessing import get_context

import structlog

from tests.simulation.mutations import MUTATIONS
from tests.simulation.simulation import Run, simulate
from tests.simulation.stores import MakeStore, store_maker

SEEDS_PER_TASK = 100
SEEDS_PER_COLLECTION = 20
SILENCE = 50


@dataclass(slots=True)
class Tally:
    """What came of the seeds so far. broken: the violation of each seed that has one."""

    seeds: int = 0
    seconds: float = 0.0
    commits: int = 0
    kills: int = 0
    collisions: int = 0
    virtual_seconds: float = 0.0
    broken: dict[int, str] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.seeds += other.seeds
        self.commits += other.commits
        self.kills += other.kills
        self.collisions += other.collisions
        self.virtual_seconds += other.virtual_seconds
        self.broken |= other.broken

    def __str__(self) -> str:
        return (
            f"{self.seeds} seeds, {len(self.broken)} violations, {self.seconds:.0f} s, "
            f"{self.seeds / max(self.seconds, 0.001):.1f} seeds/s; {self.commits} commits, {self.kills} kills, "
            f"{self.collisions} collisions, {self.virtual_seconds / 3600:.0f} h of virtual time"
        )


def replay(seed: int, *, mutation: str | None = None, store: str = "sqlite") -> Run:
    """One run with its history."""
    silence_log()
    opened = store_maker(store)()
    try:
        with MUTATIONS[mutation].apply() if mutation else nullcontext():
            return simulate(seed, opened)
    finally:
        opened.close()


def run_seeds(first: int, count: int, make_store: MakeStore, mutation: str | None, broken_max: int) -> Tally:
    """A share of a campaign, in a process of its own; ends early at `broken_max` violations."""
    silence_log()
    tally = Tally()
    store = make_store()
    try:
        with _collecting_seldom() as collect, MUTATIONS[mutation].apply() if mutation else nullcontext():
            for seed in range(first, first + count):
                if seed % SEEDS_PER_COLLECTION == 0:
                    collect()
                run = simulate(seed, store)
                tally.seeds += 1
                tally.commits += run.commits
                tally.kills += run.kills
                tally.collisions += run.collisions
                tally.virtual_seconds += run.virtual_seconds
                if run.violation is not None:
                    tally.broken[seed] = run.violation
                    if len(tally.broken) >= broken_max:
                        break
    finally:
        store.close()
    return tally


@contextmanager
def _collecting_seldom() -> Iterator[Callable[[], object]]:
    """Garbage is collected between runs, and not of what was there before: it costs a tenth of the time otherwise."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield gc.collect
    finally:
        gc.enable()
        gc.unfreeze()


def campaign(
    first: int,
    count: int,
    *,
    mutation: str | None = None,
    store: str = "sqlite",
    broken_max: int = 10,
    processes: int | None = None,
    progress: Callable[[Tally], None] = lambda _tally: None,
) -> Tally:
    """Runs `count` seeds from `first` on; ends early at `broken_max` violations."""
    began = time.monotonic()
    tally = Tally()
    make_store = store_maker(store)
    processes = processes or os.cpu_count() or 1
    shares = _shares(first, count, max(1, min(SEEDS_PER_TASK, count // processes)))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:

        def start() -> set[Future[Tally]]:
            share = next(shares, None)
            return set() if share is None else {pool.submit(run_seeds, *share, make_store, mutation, broken_max)}

        running: set[Future[Tally]] = set()
        for _ in range(processes):
            running |= start()
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                tally.add(future.result())
                tally.seconds = time.monotonic() - began
                progress(tally)
                if len(tally.broken) < broken_max:
                    running |= start()
    return tally


def _shares(first: int, count: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(first, first + count, size):
        yield start, min(size, first + count - start)


def silence_log() -> None:
    """The runtime logs every fault it meets; here that is all it meets."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(SILENCE))
