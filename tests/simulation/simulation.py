"""One run: processes, faults, an operator and a checker on one virtual clock, all drawn from one seed.

First there is chaos. Then the faults stop, what was broken is mended and dead letters are replayed, and everything must
come to its right end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from reelwork.broker import Topology
from reelwork.ledger import BaseJobProgressManager, CompletionPolicy
from tests.simulation import pipeline
from tests.simulation.history import History, Violation
from tests.simulation.machines import Machines
from tests.simulation.operator import LOOK_SECONDS, Operator, OperatorLedger
from tests.simulation.player import Player
from tests.simulation.scenario import CHAOS_SECONDS
from tests.simulation.setting import Setting
from tests.simulation.store import Store
from tests.simulation.verdict import check_end
from tests.simulation.virtual_loop import VirtualLoop

TURNS_MAX = 100_000
CALM_SECONDS_MAX = 20_000.0
UNENDED = "SELECT job_id, status FROM jobs WHERE status IN ('pending', 'running')"
UNPUBLISHED = "SELECT topic, event_id FROM outbox WHERE published_at IS NULL"
REPLAYING = """SELECT event_id FROM outbox AS replay JOIN jobs USING (job_id)
WHERE queue IS NOT NULL AND status <> 'cancelled'
AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.event_id = replay.event_id AND inbox.queue = replay.queue)
AND NOT EXISTS (SELECT 1 FROM dead_letters AS letter WHERE letter.event_id = replay.event_id
    AND letter.queue = replay.queue AND letter.created_at > replay.created_at)"""
UNCONSUMED = """SELECT event_id FROM outbox JOIN jobs USING (job_id)
WHERE topic = ? AND queue IS NULL AND status <> 'cancelled'
AND event_id NOT IN (SELECT event_id FROM inbox WHERE queue = ?)
AND event_id NOT IN (SELECT event_id FROM dead_letters WHERE queue = ?)"""


@dataclass(slots=True)
class Run:
    """What came of a seed."""

    seed: int
    violation: str | None
    history: History
    virtual_seconds: float
    commits: int
    kills: int
    collisions: int


def simulate(seed: int, store: Store) -> Run:
    loop = VirtualLoop(turns_max=TURNS_MAX)
    setting = Setting(seed, store, loop)
    simulation = Simulation(setting)
    violation = None
    try:
        loop.run_until_complete(simulation.run())
    except Violation as found:
        violation = str(found)
    finally:
        simulation.machines.bury()
        loop.close()
    return Run(
        seed=seed,
        violation=violation,
        history=setting.history,
        virtual_seconds=loop.time(),
        commits=setting.checker.commits,
        kills=simulation.machines.kills,
        collisions=store.collisions,
    )


class Simulation:
    """The course of a run."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._player = Player(setting)
        self._catalogue = pipeline.catalogue(setting.scenario, self._player)
        stages = BaseJobProgressManager(policy=CompletionPolicy(100, None), stages=self._catalogue.stage_rules)
        ledger = OperatorLedger(setting)
        self.machines = Machines(setting, self._catalogue, stages, another_ledger=ledger)
        self._operator = Operator(setting, self._catalogue, stages, ledger, self.machines)

    async def run(self) -> None:
        """Raises Violation."""
        await self._setting.broker.declare(Topology.of(self._catalogue.bindings()))
        self.machines.start()
        self._operator.take_up_work()
        await asyncio.sleep(CHAOS_SECONDS)
        await self._calm_down()
        check_end(self._setting, self._player.played)

    async def _calm_down(self) -> None:
        self._setting.clear_up()
        self.machines.renew_fortunes()
        until = self._setting.loop.time() + CALM_SECONDS_MAX
        while next(self._left_over(), None) is not None:
            if self._setting.loop.time() > until:
                raise Violation(f"stuck: {list(self._left_over())}")
            self._operator.mend()
            await asyncio.sleep(LOOK_SECONDS)

    def _left_over(self) -> Iterator[str]:
        """What still has to happen."""
        ask = self._setting.store.eye.execute
        yield from (f"job {job_id[:6]} is {status}" for job_id, status in ask(UNENDED))
        yield from (f"{queue} holds {message.event_id[:6]}" for queue, message in self._setting.broker.held())
        yield from (f"{topic} {event_id[:6]} waits in the outbox" for topic, event_id in ask(UNPUBLISHED))
        for topic, queue in self._catalogue.bindings():
            lost = ask(UNCONSUMED, (topic, queue, queue))
            yield from (f"{queue} has not consumed {topic} {event_id[:6]}" for (event_id,) in lost)
        yield from (f"the replay of {event_id[:6]} has come to nothing yet" for (event_id,) in ask(REPLAYING))
        yield from self._operator.left_over()
