"""What one run is drawn from and stands on: one seed, one clock, one store, one sky. Everything else is made of it."""

from __future__ import annotations

from random import Random
from uuid import UUID

from reelwork.broker import MemoryBroker
from tests.simulation.checker import Checker
from tests.simulation.history import History
from tests.simulation.scenario import JobShape, Scenario
from tests.simulation.store import Store
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.weather import Sky, Weather

EPOCH_SECONDS = 1_700_000_000.0


class Setting:
    """shapes: of the jobs that were submitted, by id. cancelled: those that the operator has cancelled.

    is_steady: whoever dies, dies of what it worked on.
    """

    def __init__(self, seed: int, store: Store, loop: VirtualLoop) -> None:
        self.dice = Random(seed)
        self.loop = loop
        self.store = store
        self.scenario = Scenario.of(self.dice)
        self.sky = Sky(Weather.of(self.dice), self.dice)
        self.history = History(loop.time)
        self.checker = Checker(store.eye, self.scenario, self.history, clock=self.clock, fail=loop.fail)
        self.broker = MemoryBroker(
            clock=self.clock,
            faults=self.sky.weather.messages,
            seed=seed,
            lease_seconds=self.scenario.lease_seconds,
        )
        self.shapes: dict[str, JobShape] = {}
        self.cancelled: set[str] = set()
        self.is_steady = self.sky.weather.is_steady and not self.scenario.interventions
        store.begin(self.clock, self.dice)
        store.commit_fails = lambda: self.sky.strikes(self.sky.weather.commit_fails)

    def clock(self) -> float:
        return EPOCH_SECONDS + self.loop.time()

    def new_id(self) -> UUID:
        return UUID(int=self.dice.getrandbits(128), version=4)

    def clear_up(self) -> None:
        """The faults stop."""
        self.history.note("", "THE SKY CLEARS UP")
        self.sky.clear_up()
        self.broker.faults = self.sky.weather.messages
        self.store.commit_fails = lambda: False
