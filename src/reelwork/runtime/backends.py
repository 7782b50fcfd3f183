"""Opens what the settings name: the ledger, the broker and the object store, wired to each other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from reelwork.broker import Broker, SqlBroker, Topology, open_broker
from reelwork.broker.database_bell import DatabaseBell
from reelwork.errors import ConfigurationError, StoreUnavailable
from reelwork.ledger import BaseJobProgressManager, CompletionPolicy, Ledger, open_ledger
from reelwork.ledger.sql import SqlLedger
from reelwork.objects import ObjectStore, open_objects
from reelwork.runtime import tracing
from reelwork.runtime.conductor import Conductor
from reelwork.runtime.crew import Crew
from reelwork.runtime.declaration import Catalogue
from reelwork.runtime.handling import Handling
from reelwork.runtime.notifications import Notifications
from reelwork.runtime.recorder import Recorder
from reelwork.runtime.registry import load_catalogue
from reelwork.runtime.relay import Relay
from reelwork.runtime.sweeper import Sweeper
from reelwork.runtime.world import World
from reelwork.settings import Config

PATIENCE_SECONDS: Final = {False: 5.0, True: 60.0}
"""How long a request to the object store is tried again, by whether its caller is patient."""


@dataclass(slots=True, kw_only=True)
class Backends:
    """Everything a process of Reelwork stands on. crew: the worker processes that it supervises."""

    config: Config
    catalogue: Catalogue
    ledger: Ledger
    broker: Broker
    objects: ObjectStore
    stages: BaseJobProgressManager
    conductor: Conductor
    recorder: Recorder
    world: World
    crew: Crew = field(default_factory=Crew)

    async def close(self) -> None:
        await self.broker.close()
        self.ledger.close()
        await tracing.stop()

    def relay(self) -> Relay:
        return Relay(
            self.ledger,
            self.broker,
            world=self.world,
            republish_after_seconds=self.config.REELWORK_REPUBLISH_AFTER_SECONDS,
            bell=DatabaseBell(),
            completion_topics=frozenset(map(self.stages.topic_of, self.catalogue.stage_rules)),
            notifications=Notifications(self.ledger, self.catalogue) if self.config.REELWORK_S3_NOTIFICATIONS else None,
        )

    def sweeper(self, relay: Relay) -> Sweeper:
        return Sweeper(
            self.ledger,
            broker=self.broker,
            objects=self.objects,
            catalogue=self.catalogue,
            stages=self.stages,
            conductor=self.conductor,
            relay=relay,
            recorder=self.recorder,
            world=self.world,
            sweep_seconds=self.config.REELWORK_SWEEP_SECONDS,
            watermark_max_seconds=self.config.REELWORK_WATERMARK_MAX_SECONDS,
        )

    def handling(self, threads: Executor) -> Handling:
        return Handling(
            ledger=self.ledger,
            broker=self.broker,
            objects=self.objects,
            recorder=self.recorder,
            catalogue=self.catalogue,
            stages=self.stages,
            world=self.world,
            threads=threads,
            timeout_seconds=self.config.REELWORK_HANDLER_TIMEOUT_SECONDS,
            watermark_max_ms=round(self.config.REELWORK_WATERMARK_MAX_SECONDS * 1000),
        )


def _longest_handling(config: Config, catalogue: Catalogue) -> float:
    """Seconds that a handler may take."""
    own = [s.timeout_seconds for s in catalogue.subscriptions if s.timeout_seconds is not None]
    return max([config.REELWORK_HANDLER_TIMEOUT_SECONDS, *own])


async def open_backends(
    config: Config,
    *,
    catalogue: Catalogue | None = None,
    world: World | None = None,
    lease_owner: str | None = None,
    declares: bool = True,
    is_patient: bool = False,
) -> Backends:
    """Opens everything. Raises ConfigurationError for what cannot be opened, StoreUnavailable for what is away.

    declares: makes every queue, and tries what the object store promises; whoever only looks leaves both as they are.
    is_patient: an object store that is away is no hindrance here, and is waited for when it is needed.
    """
    catalogue = catalogue or load_catalogue(config.pipelines)
    world = world or World(reader=ThreadPoolExecutor(1, thread_name_prefix="reelwork-look"))
    if config.uses_data_dir:
        config.prepare_data_dir()
    if config.REELWORK_S3_NOTIFICATIONS and not config.broker_url.startswith("sqs:"):
        raise ConfigurationError(
            "REELWORK_S3_NOTIFICATIONS is on, and buckets notify queues of SQS alone: name them with "
            "VIDEO_WORKER_QUEUE_URL or REELWORK_BROKER_URL=sqs://PREFIX, or leave it off"
        )
    lease_seconds = config.REELWORK_LEASE_SECONDS
    broker = open_broker(
        config.broker_url,
        lease_seconds=lease_seconds,
        lease_owner=lease_owner,
        region=config.AWS_REGION,
        endpoint=config.AWS_ENDPOINT_URL,
        queue_urls=config.queue_urls,
    )
    try:
        with _named("REELWORK_DATABASE_URL"):
            ledger = await asyncio.to_thread(open_ledger, config.database_url, clock=world.clock)
    except BaseException:
        if broker is not None:
            await broker.close()
        raise
    if broker is None:
        if not isinstance(ledger, SqlLedger):
            ledger.close()
            raise ConfigurationError(
                "REELWORK_DATABASE_URL is DynamoDB, which holds no queues: set REELWORK_BROKER_URL to a broker of its "
                "own (sqs://, redis:// or amqp://)"
            )
        broker = SqlBroker(ledger.database, clock=world.clock, lease_seconds=lease_seconds, lease_owner=lease_owner)
        ledger.attach(broker.courier)
    try:
        topology = Topology.of(catalogue.bindings())
        if declares:
            broker.check_handling(_longest_handling(config, catalogue))
            with _named("REELWORK_BROKER_URL"):
                await broker.declare(topology)
        else:
            broker.topology = topology
        objects = open_objects(config.objects_url, patience_seconds=PATIENCE_SECONDS[is_patient])
        if declares and not is_patient:
            with _named("REELWORK_OBJECTS_URL"):
                await asyncio.to_thread(objects.verify)
    except BaseException:
        await broker.close()
        ledger.close()
        raise
    tracing.start(lease_owner or f"{socket.gethostname()}-{os.getpid()}")
    broker.trace_context = tracing.traceparent
    policy = CompletionPolicy(config.COMPLETION_THRESHOLD_PERCENTAGE, config.WATERMARK_TTL_SECONDS)
    conductor = Conductor(ledger, catalogue, world=world, settle_seconds=config.REELWORK_SETTLE_SECONDS)
    return Backends(
        config=config,
        catalogue=catalogue,
        ledger=ledger,
        broker=broker,
        objects=objects,
        stages=BaseJobProgressManager(policy=policy, stages=catalogue.stage_rules),
        conductor=conductor,
        recorder=Recorder(ledger, world=world, after_completion=conductor.advance, publishes=broker.transactional),
        world=world,
    )


@contextlib.contextmanager
def _named(setting: str) -> Iterator[None]:
    """Says which setting to look at, where what it names does not answer."""
    try:
        yield
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error}. Is it up, and does {setting} name it?") from error
