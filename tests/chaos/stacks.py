"""Whole stacks under fire: a broker, a database and an object store, and machines that share nothing else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from tests.chaos import clocks
from tests.chaos.clocks import Clock
from tests.chaos.fleet import Post
from tests.chaos.stores import WORKERS_EACH, Store, Strike, postgresql, sqlite
from tests.kept_server import KeptServer
from tests.machines import Machine, machines
from tests.postgresql import postgresql_server
from tests.proxy import Link
from tests.rabbitmq import RabbitServer, rabbit_server
from tests.seaweed import CREDENTIALS, seaweed_server
from tests.stack import settings_here, ways
from tests.valkey import PASSWORD, ValkeyServer, valkey_server

REPUBLISH_AFTER_SECONDS: Final = 5.0
DEAD_SECONDS: Final = 1.0
PARTITION_SECONDS_MAX: Final = 30.0
CLOCK_WRONG_SECONDS: Final = 3_600
CLOCK_WRONG_FOR_SECONDS: Final = 2.0
FORGOTTEN_SECONDS: Final = 1.0
WRITTEN_SECONDS_MAX: Final = 30.0
LOOK_SECONDS: Final = 0.05
KILLS_A_KILL_OF_A_SERVER: Final = 20
KILLS_A_RESTART_OF_A_SERVER: Final = 30


@dataclass(frozen=True, kw_only=True)
class Target:
    """An engine of a stack that is hit. waiting: of a broker, the messages that it holds. more: what else can be done
    to it, by name.
    """

    name: str
    server: KeptServer
    settings: Mapping[str, str]
    waiting: Callable[[], int] = lambda: 0
    more: Mapping[str, Callable[[], object]] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return self.server.port

    def strikes(self, kills: int) -> dict[str, Strike]:
        def die() -> None:
            self.server.kill()
            time.sleep(DEAD_SECONDS)
            self.server.restart()

        killed = Strike(deal=die, times=max(1, kills // KILLS_A_KILL_OF_A_SERVER), again=False)
        restarted = Strike(deal=self.server.restart, times=kills // KILLS_A_RESTART_OF_A_SERVER, again=False)
        more = {name: Strike(deal=deal, again=False) for name, deal in self.more.items()}
        return {f"{self.name} killed": killed, f"{self.name} restarted": restarted, **more}


@contextlib.contextmanager
def postgresql_target() -> Iterator[Target]:
    with postgresql_server(durable=True) as server:
        url = server.new_database(migrated=False)
        yield Target(name="PostgreSQL", server=server, settings={"REELWORK_DATABASE_URL": url})


@contextlib.contextmanager
def seaweed_target() -> Iterator[Target]:
    with seaweed_server() as server:
        settings = {"REELWORK_OBJECTS_URL": server.url(prefix=server.new_prefix()), **CREDENTIALS}
        yield Target(name="S3", server=server, settings=settings)


@contextlib.contextmanager
def rabbitmq_target() -> Iterator[Target]:
    with rabbit_server() as server:
        settings = {"REELWORK_BROKER_URL": server.url()}
        yield Target(name="RabbitMQ", server=server, settings=settings, waiting=partial(rabbitmq_messages, server))


def rabbitmq_messages(server: RabbitServer) -> int:
    """Ready and unacknowledged, in all queues."""
    return sum(int(line) for line in server.control("list_queues", "messages", "--no-table-headers").split())


@contextlib.contextmanager
def redis_target() -> Iterator[Target]:
    """It writes to its disk what it has confirmed, and waits for the disk once a second."""
    with valkey_server(appendonly="yes", appendfsync="everysec") as server:
        yield Target(
            name="Redis",
            server=server,
            settings={"REELWORK_BROKER_URL": server.url()},
            waiting=partial(redis_entries, server),
            more={"Redis back without its last second": partial(forget_last_second, server)},
        )


def redis_entries(server: ValkeyServer) -> int:
    """In all streams."""
    import redis

    with redis.Redis(port=server.port, password=PASSWORD) as client:
        return sum(int(client.xlen(key)) for key in client.scan_iter(_type="stream"))


def forget_last_second(server: ValkeyServer) -> None:
    """As a power cut between two fsyncs does: what it wrote last is gone, though it had confirmed it."""
    (file,) = (Path(server.folder) / "appendonlydir").glob("*.incr.aof")
    before, deadline = file.stat().st_size, time.monotonic() + WRITTEN_SECONDS_MAX
    time.sleep(FORGOTTEN_SECONDS)
    while file.stat().st_size == before:
        assert time.monotonic() < deadline, "nothing is written: there is nothing to forget"
        time.sleep(LOOK_SECONDS)
    server.kill()
    with file.open("r+b") as written:
        written.truncate(before)
    server.restart()


@contextlib.contextmanager
def stack(folder: Path, kills: int, *, opened: Callable[[], AbstractContextManager[Target]]) -> Iterator[Store]:
    """opened: the broker. A server without workers, and two machines with workers; the clock of the second can be set
    wrong, and the first be cut off from the broker.
    """
    with ExitStack() as together:
        broker = together.enter_context(opened())
        targets = (broker, together.enter_context(postgresql_target()), together.enter_context(seaweed_target()))
        known = settings_here(targets)
        at = together.enter_context(machines("server", "one", "other", shown=folder))
        posts, links = zip(*(_post(machine, targets) for machine in at), strict=True)
        posts, clock_strikes = _with_clocks(posts, folder)
        strikes = [target.strikes(kills) for target in targets]
        yield Store(
            url=known["REELWORK_DATABASE_URL"],
            posts=posts,
            settings=known,
            waiting=broker.waiting,
            strikes={
                **{name: strike for each in strikes for name, strike in each.items()},
                "partition from the broker": _partition(links[1], min(PARTITION_SECONDS_MAX, kills)),
                **clock_strikes,
            },
        )


def _post(machine: Machine, targets: tuple[Target, ...]) -> tuple[Post, Link]:
    """Beside its way to the broker."""
    found = ways(machine, targets)
    settings = {**found.settings, "REELWORK_REPUBLISH_AFTER_SECONDS": str(REPUBLISH_AFTER_SECONDS)}
    is_server = machine.name == "server"
    post = Post(
        machine=machine.name,
        data=machine.data,
        workers=0 if is_server else WORKERS_EACH,
        settings=settings,
        prefix=machine.prefix,
        way_in=machine.way_in if is_server else None,
    )
    return post, found.links[0]


def _partition(link: Link, seconds: float) -> Strike:
    def deal() -> None:
        link.stall()
        time.sleep(seconds)
        link.resume()

    return Strike(deal=deal, machines=["one"], again=False)


def _with_clocks(posts: tuple[Post, ...], folder: Path) -> tuple[tuple[Post, ...], dict[str, Strike]]:
    """The same posts, and what can be done to the clock of the last."""
    if clocks.unavailable() is not None:
        return posts, {}
    clock, last = Clock.made_in(folder), posts[-1]

    def jump(seconds: int) -> None:
        clock.set_wrong(seconds)
        time.sleep(CLOCK_WRONG_FOR_SECONDS)
        clock.set_wrong(0)

    jumps = {"clock an hour ahead": CLOCK_WRONG_SECONDS, "clock an hour back": -CLOCK_WRONG_SECONDS}
    strikes = {
        name: Strike(deal=partial(jump, seconds), machines=[last.machine], again=False)
        for name, seconds in jumps.items()
    }
    telling = [f"{name}={value}" for name, value in clock.settings.items()]
    return (*posts[:-1], replace(last, prefix=[*last.prefix, "env", *telling])), strikes


STORES: Mapping[str, Callable[[Path, int], AbstractContextManager[Store]]] = {
    "sqlite": sqlite,
    "postgresql": postgresql,
    "rabbitmq-stack": partial(stack, opened=rabbitmq_target),
    "redis-stack": partial(stack, opened=redis_target),
}
