"""The processes of a run: workers and nodes made of the runtime's own parts, each with its own faces of ledger and
broker, and each replaced when it has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from reelwork.ledger import BaseJobProgressManager
from reelwork.objects import open_objects
from reelwork.runtime import Catalogue
from reelwork.runtime.conductor import Conductor
from reelwork.runtime.handling import Handling
from reelwork.runtime.recorder import Recorder
from reelwork.runtime.relay import Relay
from reelwork.runtime.sweeper import Sweeper
from reelwork.runtime.together import run_together
from reelwork.runtime.worker import Worker
from reelwork.runtime.world import World
from tests.simulation.broker_face import BrokerFace
from tests.simulation.history import Violation
from tests.simulation.leases import Leases
from tests.simulation.ledger_face import LedgerFace, LedgerThread
from tests.simulation.process import Process
from tests.simulation.setting import Setting

DRAIN_SECONDS = 10.0
RESTART_SECONDS = (0.1, 0.1, 2.0, 20.0)
UNPUBLISHED = "SELECT 1 FROM outbox WHERE published_at IS NULL"


class Machines:
    """another_ledger: what the conductor of another machine has in hand, when it is faster. living: the processes that
    run, by name. kills: how many have died.
    """

    def __init__(
        self, setting: Setting, catalogue: Catalogue, stages: BaseJobProgressManager, another_ledger: Any
    ) -> None:
        self._setting = setting
        self._catalogue = catalogue
        self._stages = stages
        self._another_ledger = another_ledger
        self._leases = Leases(setting.broker, clock=setting.clock, insist=setting.checker.insist)
        self._objects = open_objects("memory://")
        self._processes: list[Process] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.living: dict[str, Process] = {}
        self.kills = 0

    def start(self) -> None:
        for number in range(self._setting.scenario.nodes):
            self._keep(f"node-{number}", self._start_node)
        for number in range(self._setting.scenario.workers):
            self._keep(f"worker-{number}", self._start_worker)

    def renew_fortunes(self) -> None:
        for process in self.living.values():
            process.renew_fortune()

    def bury(self) -> None:
        for process in self._processes:
            process.bury()

    def _keep(self, name: str, start: Callable[[Process], BrokerFace]) -> None:
        task = self._setting.loop.create_task(self._keep_running(name, start))
        task.add_done_callback(self._keeper_ended)
        self._tasks.add(task)

    def _keeper_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._setting.loop.fail(Violation(f"a process cannot be kept: {task.exception()!r}"))

    async def _keep_running(self, name: str, start: Callable[[Process], BrokerFace]) -> None:
        """As a supervisor does: replaces a process that has ended, and hands on what it held."""
        history, sky = self._setting.history, self._setting.sky
        while True:
            process = Process(name, history=history, next_strike=sky.next_strike)
            self._processes.append(process)
            self.living[name] = process
            history.note(name, "starts")
            face = start(process)
            await process.ended
            del self.living[name]
            if process.main.done() and process.main.exception() is not None:
                self._setting.loop.fail(Violation(f"{name} broke: {process.main.exception()!r}"))
            self.kills += not process.main.done()
            if sky.strikes(sky.weather.leases_handed_on):
                await face.hand_on()
            await asyncio.sleep(self._setting.dice.choice(RESTART_SECONDS))

    def _start_worker(self, process: Process) -> BrokerFace:
        setting = self._setting
        world = self._world(process)
        ledger, broker, _, recorder = self._parts(process, world)
        handling = Handling(
            ledger=ledger,
            broker=broker,
            objects=self._objects,
            recorder=recorder,
            catalogue=self._catalogue,
            stages=self._stages,
            world=world,
            threads=LedgerThread(process, setting.sky),
            timeout_seconds=setting.scenario.handler_timeout_seconds,
            watermark_max_ms=round(setting.scenario.watermark_max_seconds * 1000),
        )
        worker = Worker(
            self._catalogue.subscriptions,
            broker=broker,
            handling=handling,
            world=world,
            drain_seconds=DRAIN_SECONDS,
        )
        process.start(worker.run(), stop=worker.stop)
        return broker

    def _start_node(self, process: Process) -> BrokerFace:
        scenario = self._setting.scenario
        world = self._world(process, partial(self._sleep_until_news, process))
        ledger, broker, conductor, recorder = self._parts(process, world)
        relay = Relay(ledger, broker, world=world, republish_after_seconds=scenario.republish_after_seconds)
        sweeper = Sweeper(
            ledger,
            broker=broker,
            objects=self._objects,
            catalogue=self._catalogue,
            stages=self._stages,
            conductor=conductor,
            relay=relay,
            recorder=recorder,
            world=world,
            sweep_seconds=scenario.sweep_seconds,
            watermark_max_seconds=scenario.watermark_max_seconds,
        )
        stop = asyncio.Event()
        process.start(run_together(stop, relay.run(stop), sweeper.run(stop)), stop=stop.set)
        return broker

    def _world(self, process: Process, sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep) -> World:
        setting = self._setting
        executor = LedgerThread(process, setting.sky)
        setting.store.rivals.append(executor)
        return World(
            clock=setting.clock,
            monotonic=setting.loop.time,
            sleep=sleep,
            random=setting.dice,
            new_id=setting.new_id,
            executor=executor,
        )

    async def _sleep_until_news(self, process: Process, seconds: float) -> None:
        """The relay's sleep: it looks again when there is something to be seen, not all the time."""
        setting = self._setting
        await asyncio.sleep(seconds)
        while not process.is_stopping and setting.store.eye.execute(UNPUBLISHED).fetchone() is None:
            await setting.checker.news()
            await asyncio.sleep(setting.dice.uniform(0, seconds))

    def _parts(self, process: Process, world: World) -> tuple[Any, BrokerFace, Conductor, Recorder]:
        setting = self._setting
        ledger: Any = LedgerFace(
            setting.store,
            process,
            sky=setting.sky,
            checker=setting.checker,
            overtake=lambda job_id: self._conductor(self._another_ledger, world).advance(job_id),
        )
        conductor = self._conductor(ledger, world)
        recorder = Recorder(ledger, world=world, after_completion=conductor.advance)
        face = BrokerFace(
            setting.broker,
            process,
            sky=setting.sky,
            leases=self._leases,
            clock=setting.clock,
            check_turn=setting.checker.check_turn,
        )
        return ledger, face, conductor, recorder

    def _conductor(self, ledger: Any, world: World) -> Conductor:
        settle_seconds = self._setting.scenario.settle_seconds
        return Conductor(ledger, self._catalogue, world=world, settle_seconds=settle_seconds)
