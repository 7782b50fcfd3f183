"""One run: processes, faults, an operator and a checker on one virtual clock, all drawn from one seed.

First there is chaos. Then the faults stop, what was broken is mended and dead letters are replayed, and everything must
come to its right end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from reelwork.broker import MemoryBroker, Topology
from reelwork.errors import JobTransitionRefused, PermanentError, ReelworkError
from reelwork.ledger import BaseJobProgressManager, CompletionPolicy, Work
from reelwork.objects import open_objects
from reelwork.runtime.conductor import Conductor
from reelwork.runtime.handling import Handling
from reelwork.runtime.jobs import Jobs
from reelwork.runtime.recorder import Recorder
from reelwork.runtime.relay import Relay
from reelwork.runtime.sweeper import Sweeper
from reelwork.runtime.together import run_together
from reelwork.runtime.worker import Worker
from reelwork.runtime.world import World
from tests.simulation import pipeline
from tests.simulation.broker_face import BrokerFace
from tests.simulation.checker import Checker
from tests.simulation.history import History, Violation
from tests.simulation.leases import Leases
from tests.simulation.ledger_face import LedgerFace, LedgerThread
from tests.simulation.marks import check_marks
from tests.simulation.process import CURRENT, Process
from tests.simulation.scenario import CHAOS_SECONDS, STAGES, Fate, JobShape, Scenario, StageShape
from tests.simulation.store import Store
from tests.simulation.verdict import check_end
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.weather import Sky, Weather

EPOCH_SECONDS = 1_700_000_000.0
TURNS_MAX = 100_000
CALM_SECONDS_MAX = 20_000.0
LOOK_SECONDS = 7.0
DRAIN_SECONDS = 10.0
REPLAYS_MAX = 3
RESTART_SECONDS = (0.1, 0.1, 2.0, 20.0)
UNENDED = "SELECT job_id, status FROM jobs WHERE status IN ('pending', 'running')"
UNPUBLISHED = "SELECT topic, event_id FROM outbox WHERE published_at IS NULL"
LETTERS = """SELECT dead_letter_id, job_id, queue, event_id FROM dead_letters WHERE replayed_at IS NULL
ORDER BY dead_letter_id DESC"""
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


def simulate(seed: int, store: Store) -> Run:
    loop = VirtualLoop(turns_max=TURNS_MAX)
    simulation = Simulation(seed, store, loop)
    violation = None
    try:
        loop.run_until_complete(simulation.run())
    except Violation as found:
        violation = str(found)
    finally:
        simulation.bury()
        loop.close()
    return Run(
        seed=seed,
        violation=violation,
        history=simulation.history,
        virtual_seconds=loop.time(),
        commits=simulation.checker.commits,
        kills=simulation.kills,
    )


class Simulation:
    def __init__(self, seed: int, store: Store, loop: VirtualLoop) -> None:
        dice = Random(seed)
        self.dice = dice
        self.loop = loop
        self.store = store
        self.scenario = Scenario.of(dice)
        self.sky = Sky(Weather.of(dice), dice)
        self.history = History(loop.time)
        self.checker = Checker(store.eye, self.scenario, self.history, clock=self.clock, fail=loop.fail)
        self.broker = MemoryBroker(
            clock=self.clock,
            faults=self.sky.weather.messages,
            seed=seed,
            lease_seconds=self.scenario.lease_seconds,
        )
        self.leases = Leases(self.broker, clock=self.clock, insist=self.checker.insist)
        self.catalogue = pipeline.catalogue(self.scenario, self)
        self.stages = BaseJobProgressManager(policy=CompletionPolicy(100, None), stages=self.catalogue.stage_rules)
        self.jobs = Jobs(_OperatorLedger(self), self.catalogue, stages=self.stages)  # type: ignore[arg-type]
        self.objects = open_objects("memory://")
        self.processes: list[Process] = []
        self.living: dict[str, Process] = {}
        self.shapes: dict[str, JobShape] = {}
        self.played: dict[tuple[str, str], int] = {}
        self.replays: dict[tuple[str, str], int] = {}
        self.cancelled: set[str] = set()
        self.kills = 0
        self.is_steady = self.sky.weather.is_steady and not self.scenario.interventions
        self._unannounced: set[tuple[str, str]] = set()
        self._kept_back: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        store.begin(self.clock)
        store.commit_fails = lambda: self.sky.strikes(self.sky.weather.commit_fails)

    def clock(self) -> float:
        return EPOCH_SECONDS + self.loop.time()

    def new_id(self) -> UUID:
        return UUID(int=self.dice.getrandbits(128), version=4)

    # The course of a run

    async def run(self) -> None:
        await self.broker.declare(Topology.of(self.catalogue.bindings()))
        for number in range(self.scenario.nodes):
            self._keep(f"node-{number}", self._start_node)
        for number in range(self.scenario.workers):
            self._keep(f"worker-{number}", self._start_worker)
        for job in self.scenario.jobs:
            self._later(job.submitted_at, self._submit, job)
        for at, what in self.scenario.interventions:
            self._later(at, self._intervene, what)
        await asyncio.sleep(CHAOS_SECONDS)
        await self._calm_down()
        check_end(self)

    async def _calm_down(self) -> None:
        self.history.note("", "THE SKY CLEARS UP")
        self.sky.clear_up()
        self.broker.faults = self.sky.weather.messages
        self.store.commit_fails = lambda: False
        for process in self.living.values():
            process.renew_fortune()
        until = self.loop.time() + CALM_SECONDS_MAX
        while not self._is_over():
            if self.loop.time() > until:
                raise Violation(f"stuck: {list(self._left_over())}")
            self._send_what_is_missing()
            self._replay(most=1_000)
            await asyncio.sleep(LOOK_SECONDS)

    def _is_over(self) -> bool:
        return next(self._left_over(), None) is None

    def _left_over(self) -> Iterator[str]:
        """What still has to happen."""
        ask = self.store.eye.execute
        yield from (f"job {job_id[:6]} is {status}" for job_id, status in ask(UNENDED))
        yield from (f"{queue} holds {message.event_id[:6]}" for queue, message in self.broker.held())
        yield from (f"{topic} {event_id[:6]} waits in the outbox" for topic, event_id in ask(UNPUBLISHED))
        for topic, queue in self.catalogue.bindings():
            lost = ask(UNCONSUMED, (topic, queue, queue))
            yield from (f"{queue} has not consumed {topic} {event_id[:6]}" for (event_id,) in lost)
        yield from (f"the replay of {event_id[:6]} has come to nothing yet" for (event_id,) in ask(REPLAYING))
        yield from (f"dead letter {dead_letter_id} waits for its replay" for dead_letter_id, *_ in self._replayable())
        unannounced = [key for key in sorted(self._unannounced) if self._has_begun(*key)]
        yield from (f"{stage} of {job_id[:6]} is to be announced" for job_id, stage in unannounced)
        yield from (f"{job_id[:6]} lacks assets of {stage}" for job_id, stage in self._missing())

    # The operator

    def _later(self, at: float, action: Callable[..., None], *arguments: Any) -> None:
        self.loop.call_at(at, self._as_operator, action, *arguments)

    def _as_operator(self, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Violation:
            return
        except Exception as error:
            self.loop.fail(Violation(f"the operator met {type(error).__name__}: {error}"))

    def commit(self, work: Work) -> None:
        """As an operator, whose calls reach the ledger without faults."""
        self.store.is_reliable = True
        results = self.store.ledger.commit_all([work])
        self.store.is_reliable = False
        self.checker.after_commit("operator", [work], results)
        if isinstance(results[0], Exception):
            raise results[0]

    def _submit(self, shape: JobShape) -> None:
        job_id = self.new_id()
        self.shapes[str(job_id)] = shape
        self.jobs.create(pipeline.NAME, job_id=job_id, input_path="input", parameters={})
        if shape.cancelled_at is not None and shape.cancelled_at > self.loop.time():
            self._later(shape.cancelled_at, self._cancel, str(job_id))
        for stage, stage_shape in shape.stages.items():
            if stage_shape.missing:
                self._kept_back.add((str(job_id), stage))
            if stage_shape.announcement == "late":
                self._unannounced.add((str(job_id), stage))
                self._later(
                    self.loop.time() + self.dice.uniform(0, CHAOS_SECONDS), self._announce_late, str(job_id), stage
                )

    def _cancel(self, job_id: str) -> None:
        try:
            self.jobs.cancel(job_id)
        except JobTransitionRefused:
            return
        self.cancelled.add(job_id)

    def _announce_late(self, job_id: str, stage: str) -> None:
        """After the assets of the stage were sent."""
        if self._has_begun(job_id, stage):
            self._unannounced.discard((job_id, stage))
            self._announce(job_id, stage)
        else:
            self._later(self.loop.time() + LOOK_SECONDS, self._announce_late, job_id, stage)

    def _announce(self, job_id: str, stage: str) -> None:
        self.commit(Work(events=[pipeline.batch(job_id, stage, self.shapes[job_id].stages[stage].total, self.new_id)]))

    def _intervene(self, what: str) -> None:
        self.history.note("operator", what)
        if what == "forget":
            for message in self.broker.lose(self.dice.randint(1, 3)):
                self.history.note("broker", f"FORGETS {message.topic} {message.event_id[:6]}")
        elif what == "replay":
            self._replay(most=1)
        elif what == "announce":
            begun = sorted(job_id for job_id, of in self._fanned_out() if of == "more")
            if begun:
                self._announce(self.dice.choice(begun), self.dice.choice(STAGES))
        elif self.living:
            process = self.dice.choice([*self.living.values()])
            if what == "kill":
                process.kill("by the operator")
            elif what == "stop":
                process.stop()
                self.checker.tell_news()
            else:
                process.stall(self.dice.uniform(1, 40))

    def _replayable(self) -> list[tuple[int, str, str]]:
        """The id, the queue and the event id of each dead letter that may be replayed."""
        return [
            (dead_letter_id, queue, event_id)
            for dead_letter_id, job_id, queue, event_id in self.store.eye.execute(LETTERS)
            if job_id not in self.cancelled and self.replays.get((queue, event_id), 0) < REPLAYS_MAX
        ]

    def _replay(self, *, most: int) -> None:
        letters = self._replayable()
        for dead_letter_id, queue, event_id in letters if len(letters) <= most else self.dice.sample(letters, most):
            if self.sky.is_clear:
                self.replays[queue, event_id] = self.replays.get((queue, event_id), 0) + 1
            try:
                self.commit(Work(replay=dead_letter_id))
            except ReelworkError as refusal:
                self.history.note("operator", f"replay refused: {refusal}")

    def _missing(self) -> list[tuple[str, str]]:
        """The stages whose sources have kept assets back, of jobs that have come so far."""
        return [
            (job_id, stage)
            for job_id, stage in sorted(self._kept_back)
            if job_id not in self.cancelled and self._has_begun(job_id, stage)
        ]

    def _has_begun(self, job_id: str, stage: str) -> bool:
        return (job_id, "plan" if stage == "a" else "more") in self._fanned_out()

    def _fanned_out(self) -> set[tuple[str, str]]:
        rows = self.store.eye.execute("SELECT job_id, body FROM outbox WHERE topic = 'simulated.effect'")
        return {(job_id, json.loads(body)["of"]) for job_id, body in rows}

    def _send_what_is_missing(self) -> None:
        """The sources are mended too."""
        for job_id, stage in self._missing():
            names = self.shapes[job_id].stages[stage].missing
            self._kept_back.discard((job_id, stage))
            self.commit(Work(events=pipeline.ready_events(job_id, stage, names, len(names), self.new_id)))

    # Processes

    def _keep(self, name: str, start: Callable[[Process], BrokerFace]) -> None:
        task = self.loop.create_task(self._keep_running(name, start))
        task.add_done_callback(self._keeper_ended)
        self._tasks.add(task)

    def _keeper_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.loop.fail(Violation(f"a process cannot be kept: {task.exception()!r}"))

    async def _keep_running(self, name: str, start: Callable[[Process], BrokerFace]) -> None:
        """As a supervisor does: replaces a process that has ended, and hands on what it held."""
        while True:
            process = Process(name, history=self.history, next_strike=self.sky.next_strike)
            self.processes.append(process)
            self.living[name] = process
            self.history.note(name, "starts")
            face = start(process)
            await process.ended
            del self.living[name]
            if process.main.done() and process.main.exception() is not None:
                self.loop.fail(Violation(f"{name} broke: {process.main.exception()!r}"))
            self.kills += not process.main.done()
            if self.sky.strikes(self.sky.weather.leases_handed_on):
                await face.hand_on()
            await asyncio.sleep(self.dice.choice(RESTART_SECONDS))

    async def _sleep_until_news(self, process: Process, seconds: float) -> None:
        """The relay's sleep: it looks again when there is something to be seen, not all the time."""
        await asyncio.sleep(seconds)
        while not process.is_stopping and self.store.eye.execute(UNPUBLISHED).fetchone() is None:
            await self.checker.news()
            await asyncio.sleep(self.dice.uniform(0, seconds))

    def _world(self, process: Process, sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep) -> World:
        return World(
            clock=self.clock,
            monotonic=self.loop.time,
            sleep=sleep,
            random=self.dice,
            new_id=self.new_id,
            executor=LedgerThread(process, self.sky),
        )

    def _parts(self, process: Process, world: World) -> tuple[Any, BrokerFace, Conductor, Recorder]:
        ledger: Any = LedgerFace(
            self.store, process, sky=self.sky, checker=self.checker, overtake=partial(self._overtake, world)
        )
        conductor = Conductor(ledger, self.catalogue, world=world, settle_seconds=self.scenario.settle_seconds)
        recorder = Recorder(ledger, world=world, after_completion=conductor.advance)
        return ledger, BrokerFace(self.broker, process, sky=self.sky, leases=self.leases), conductor, recorder

    def _overtake(self, world: World, job_id: str) -> None:
        """The conductor of another machine looks at the job in the middle of another's step."""
        ledger: Any = _OperatorLedger(self)
        settle_seconds = self.scenario.settle_seconds
        Conductor(ledger, self.catalogue, world=world, settle_seconds=settle_seconds).advance(job_id)

    def _start_worker(self, process: Process) -> BrokerFace:
        world = self._world(process)
        ledger, broker, _, recorder = self._parts(process, world)
        handling = Handling(
            ledger=ledger,
            broker=broker,
            objects=self.objects,
            recorder=recorder,
            catalogue=self.catalogue,
            stages=self.stages,
            world=world,
            threads=LedgerThread(process, self.sky),
            timeout_seconds=self.scenario.handler_timeout_seconds,
            watermark_max_ms=round(self.scenario.watermark_max_seconds * 1000),
        )
        worker = Worker(
            self.catalogue.subscriptions,
            broker=broker,
            handling=handling,
            world=world,
            drain_seconds=DRAIN_SECONDS,
        )
        process.start(worker.run(), stop=worker.stop)
        return broker

    def _start_node(self, process: Process) -> BrokerFace:
        world = self._world(process, partial(self._sleep_until_news, process))
        ledger, broker, conductor, recorder = self._parts(process, world)
        relay = Relay(ledger, broker, world=world, republish_after_seconds=self.scenario.republish_after_seconds)
        sweeper = Sweeper(
            ledger,
            broker=broker,
            objects=self.objects,
            catalogue=self.catalogue,
            stages=self.stages,
            conductor=conductor,
            relay=relay,
            recorder=recorder,
            world=world,
            sweep_seconds=self.scenario.sweep_seconds,
            watermark_max_seconds=self.scenario.watermark_max_seconds,
        )
        stop = asyncio.Event()
        process.start(run_together(stop, relay.run(stop), sweeper.run(stop)), stop=stop.set)
        return broker

    def bury(self) -> None:
        for process in self.processes:
            process.bury()

    # What handlers do to their processes

    def stage_shape(self, job_id: str, stage: str) -> StageShape:
        return self.shapes[job_id].stages[stage]

    async def play(self, job_id: str, thing: str) -> None:
        process = CURRENT.get()
        assert process is not None
        fate, time = self._next_fate(process, job_id, thing)
        await asyncio.sleep(fate.seconds)
        if self._is_bad(fate, time):
            if fate.kind == "killer":
                await process.die(f"by {thing}")
            if fate.kind == "hanging":
                await asyncio.sleep(10 * self.scenario.handler_timeout_seconds)
            if fate.kind == "sleepy":
                await asyncio.sleep(self.dice.uniform(0, self.scenario.handler_timeout_seconds / 2))
            self._raise(fate)

    def play_in_thread(self, job_id: str, thing: str) -> None:
        process = CURRENT.get()
        assert process is not None
        fate, time = self._next_fate(process, job_id, thing)
        if self._is_bad(fate, time):
            if fate.kind == "killer":
                process.kill(f"by {thing}")
            process.check_alive()
            self._raise(fate)

    def _next_fate(self, process: Process, job_id: str, thing: str) -> tuple[Fate, int]:
        if thing.startswith(tuple(f"{stage}/" for stage in STAGES)):
            check_marks(process, job_id, thing, cancelled=self.cancelled, insist=self.checker.insist)
        fate = self.shapes[job_id].fates[thing]
        time = self.played[job_id, thing] = self.played.get((job_id, thing), 0) + 1
        self.history.note(process.name, f"works on {job_id[:6]} {thing}, {fate.kind}, time {time}")
        return fate, time

    def _is_bad(self, fate: Fate, time: int) -> bool:
        match fate.kind:
            case "fine":
                return False
            case "cursed":
                return True
            case "broken" | "failing":
                return not self.sky.is_clear
            case _:
                return not self.sky.is_clear and (fate.times == 0 or time <= fate.times)

    def _raise(self, fate: Fate) -> None:
        if fate.kind in ("broken", "cursed", "sleepy"):
            raise PermanentError(fate.kind)
        raise OSError(fate.kind)


class _OperatorLedger:
    """The ledger in the hands of the operator: what he commits is checked like everybody's."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.commit = simulation.commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._simulation.store.ledger, name)
