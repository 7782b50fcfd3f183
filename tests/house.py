"""A whole house in a few lines: tiny pipelines, real backends in a folder, and a worker that a test drives by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from uuid import UUID, uuid4

from pydantic import BaseModel

from reelwork.broker import Broker, Delivery, Faults, MemoryBroker, Topology
from reelwork.events import (
    Announcement,
    Asset,
    AssetEvent,
    Event,
    StageCompleted,
    stable_event_id,
)
from reelwork.ledger import (
    AssetState,
    BaseJobProgressManager,
    CompletionPolicy,
    Job,
    JobMove,
    JobStatus,
    NewJob,
    StageStatus,
    Work,
    open_ledger,
)
from reelwork.objects import open_objects
from reelwork.runtime import Catalogue, Phase, Pipeline, Service
from reelwork.runtime.backends import Backends, open_backends
from reelwork.runtime.conductor import Conductor
from reelwork.runtime.declaration import Subscription
from reelwork.runtime.handling import Handling
from reelwork.runtime.jobs import Jobs
from reelwork.runtime.outcome import HandlerTimeout
from reelwork.runtime.recorder import Recorder
from reelwork.runtime.relay import Relay
from reelwork.runtime.world import World
from reelwork.settings import Config
from tests.clock import ManualClock

STAGE = "tiny.items"
PLANS, ITEMS, ENDS = "q.tiny.plans", "q.tiny.items", "q.tiny.ends"
WAIT_SECONDS_MAX = 90.0
ALL = CompletionPolicy(100, None)
T = TypeVar("T")


class Submitted(Event):
    topic = "tiny.submitted"


class ItemsBatch(Announcement):
    topic = "tiny.items.batch"

    total: int

    @property
    def expected(self) -> int:
        return self.total


class ItemsReady(AssetEvent):
    topic = "tiny.items.ready"

    names: list[str]

    def assets(self) -> Sequence[Asset]:
        return [Asset(name) for name in self.names]


class ItemDone(Event):
    topic = "tiny.item.done"

    name: str

    @property
    def identity(self) -> UUID:
        return uuid5_of(self.job_id, self.name)


class ItemsCompleted(StageCompleted):
    topic = "tiny.items.completed"


class Next(Event):
    topic = "tiny.next"


def uuid5_of(*names: str) -> UUID:
    return stable_event_id("/".join(names))


class NoParameters(BaseModel):
    pass


def stage_service(handler: Callable[..., Any], *, policy: CompletionPolicy = ALL, **subscription: Any) -> Service:
    """A service whose one stage is worked on by `handler`."""
    service = Service("items")
    service.on(ItemsReady, queue=ITEMS, **subscription)(handler)
    service.stage(STAGE, announced_by=ItemsBatch, completes_with=ItemsCompleted, policy=policy)(handler)
    return service


def plain_service(handler: Callable[..., Any], **subscription: Any) -> Service:
    """A service that handles a submitted job with `handler`."""
    service = Service("plans")
    service.on(Submitted, queue=PLANS, **subscription)(handler)
    return service


def ends_service(handler: Callable[..., Any]) -> Service:
    """A service that hears of the completed stage."""
    service = Service("ends")
    service.on(ItemsCompleted, queue=ENDS)(handler)
    return service


def pipeline_of(*services: Service, phases: tuple[Phase, ...] = (Phase(name="work", stages=None),)) -> Pipeline:
    return Pipeline(name="tiny", parameters=NoParameters, submitted=Submitted, phases=phases, services=services)


@dataclass(kw_only=True)
class House:
    """`world.sleep` is real; time is `clock`'s. Nothing happens but what the test asks for."""

    backends: Backends
    clock: ManualClock
    threads: ThreadPoolExecutor
    relay: Relay

    @property
    def handling(self) -> Handling:
        return self.backends.handling(self.threads)

    @property
    def broker(self) -> Broker:
        return self.backends.broker

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.backends.ledger, self.backends.catalogue)

    def subscription(self, queue: str) -> Subscription:
        return next(s for s in self.backends.catalogue.subscriptions if s.queue == queue)

    def submit(self, name: str = "tiny") -> str:
        """A job that waits for its first service."""
        return self.jobs.create(name, job_id=uuid4(), input_path="input", parameters={})

    def start(self) -> str:
        """A job that runs, without any service having started it."""
        job_id = str(uuid4())
        phase = self.backends.catalogue.pipelines["tiny"].phases[0].name
        self.commit(Work(new_job=NewJob(job_id=job_id, pipeline="tiny", input_path="input")))
        move = JobMove(job_id=job_id, allowed=frozenset({JobStatus.PENDING}), to=JobStatus.RUNNING, phase=phase)
        self.commit(Work(moves=[move]))
        return job_id

    def announce(self, job_id: str, total: int) -> None:
        self.commit(Work(events=[ItemsBatch(job_id=job_id, event_id=uuid4(), total=total)]))

    def send(self, job_id: str, *names: str) -> ItemsReady:
        """One message with these assets."""
        event = ItemsReady(job_id=job_id, event_id=uuid4(), names=list(names))
        self.commit(Work(events=[event]))
        return event

    def commit(self, work: Work) -> None:
        self.backends.ledger.commit(work)

    def job(self, job_id: str) -> Job:
        return self.backends.ledger.job(job_id)

    def stage(self, job_id: str) -> StageStatus:
        return next(s for s in self.backends.ledger.stage_status(job_id) if s.stage == STAGE)

    def states(self, job_id: str) -> dict[str, AssetState]:
        return {asset.asset_id: asset.state for asset in self.backends.ledger.assets(job_id, STAGE)}

    def errors(self, job_id: str) -> dict[str, str]:
        return {a.asset_id: a.error for a in self.backends.ledger.assets(job_id, STAGE) if a.error is not None}

    def topics(self, job_id: str) -> list[str]:
        """Of the events that happened; a replay sends an old one again."""
        return [row.topic for row in self.backends.ledger.outbox(job_id) if not row.is_replay]

    def letters(self, job_id: str | None = None) -> list[Any]:
        return list(reversed(self.backends.ledger.dead_letters(job_id)))

    def replay(self, job_id: str) -> None:
        for letter in self.letters(job_id):
            if letter.replayed_at is None:
                self.commit(Work(replay=letter.dead_letter_id))

    async def take(self, queue: str, *, limit: int = 1) -> list[Delivery]:
        await self.relay.publish_batch()
        return await self.broker.receive(queue, limit=limit, wait_seconds=0)

    async def take_one(self, queue: str) -> Delivery:
        (delivery,) = await self.take(queue)
        return delivery

    async def handle(self, delivery: Delivery) -> None:
        await self.handling.handle(self.subscription(delivery.queue), delivery)

    async def step(self, *queues: str) -> int:
        """Handles whatever can be taken now, once; returns how many deliveries that were."""
        count = 0
        for subscription in self.backends.catalogue.subscriptions:
            if queues and subscription.queue not in queues:
                continue
            for delivery in await self.take(subscription.queue, limit=100):
                count += 1
                try:
                    await self.handle(delivery)
                except HandlerTimeout:
                    continue
        return count

    async def settle(self, *queues: str) -> None:
        """Handles everything until nothing is left that could be taken now."""
        while await self.step(*queues):
            pass

    async def run_dry(self) -> None:
        """As `settle`, with time going on until no retry waits either."""
        for _ in range(8):
            await self.settle()
            self.clock.advance(60)
        assert not await self.step()

    async def crash(self, delivery: Delivery) -> None:
        """Its worker dies with the delivery in hand."""
        self.clock.advance(delivery.lease_seconds + 1)

    def sweeper(self) -> Any:
        return self.backends.sweeper(self.relay)


@cache
def new_database() -> bytes:
    """An empty one with its schema: making it takes longer than most tests."""
    with TemporaryDirectory() as folder:
        open_ledger(f"sqlite:///{folder}/reelwork.db").close()
        return (Path(folder) / "reelwork.db").read_bytes()


def with_database(folder: Path) -> Path:
    """The folder; it has a database afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "reelwork.db"
    if not path.exists():
        path.write_bytes(new_database())
    return folder


def config_in(folder: Path, **settings: Any) -> Config:
    return Config(REELWORK_DATA_DIR=folder, **settings)


@asynccontextmanager
async def open_house(
    folder: Path,
    *services: Service,
    phases: tuple[Phase, ...] = (Phase(name="work", stages=None),),
    faults: Faults | None = None,
    seed: int = 0,
    in_memory: bool = False,
    clock: ManualClock | None = None,
    **settings: Any,
) -> AsyncIterator[House]:
    """In `folder`, with the broker in the database, or with one in memory behind a relay. Houses that stand on one
    database are replicas of each other; they should share a clock.
    """
    clock = clock or ManualClock()
    with ThreadPoolExecutor(1) as executor, ThreadPoolExecutor(4) as threads:
        world = World(clock=clock, random=Random(seed), executor=executor)
        config = config_in(with_database(folder), **settings)
        catalogue = Catalogue.of([pipeline_of(*services, phases=phases)])
        if in_memory or faults is not None:
            backends = await memory_backends(config, catalogue, world, clock, faults, seed)
        else:
            backends = await open_backends(config, catalogue=catalogue, world=world)
        try:
            yield House(backends=backends, clock=clock, threads=threads, relay=backends.relay())
        finally:
            await backends.close()


async def memory_backends(
    config: Config, catalogue: Catalogue, world: World, clock: ManualClock, faults: Faults | None, seed: int
) -> Backends:
    """The ledger on SQLite, and a broker that is none of its business."""
    broker = MemoryBroker(clock=clock, faults=faults, seed=seed)
    await broker.declare(Topology.of(catalogue.bindings()))
    ledger = open_ledger(config.database_url, clock=clock)
    conductor = Conductor(ledger, catalogue, world=world, settle_seconds=config.REELWORK_SETTLE_SECONDS)
    return Backends(
        config=config,
        catalogue=catalogue,
        ledger=ledger,
        broker=broker,
        objects=open_objects(config.objects_url),
        stages=BaseJobProgressManager(stages=catalogue.stage_rules),
        conductor=conductor,
        recorder=Recorder(ledger, world=world, after_completion=conductor.advance),
        world=world,
    )


def run(test: Coroutine[Any, Any, T]) -> T:
    """Runs the coroutine of a test; one that hangs fails."""

    async def bounded() -> T:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            return await test

    return asyncio.run(bounded())
