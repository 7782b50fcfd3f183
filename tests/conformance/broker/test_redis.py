"""What only the Redis broker has: the server's own time, other processes, and servers that forget, die, or are full."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from reelwork.broker import Delivery, Message, Topology
from reelwork.broker.redis import RedisBroker
from reelwork.broker.redis.address import RedisAddress
from reelwork.errors import ConfigurationError, StoreUnavailable
from tests.clock import ManualClock
from tests.conformance.broker.conftest import event_ids
from tests.conformance.broker.redis_waiter import WAITS
from tests.processes import ready_children
from tests.tls import self_signed, tls_before
from tests.valkey import PASSWORD, ValkeyServer, fresh_url, shared_server, valkey_server

pytestmark = pytest.mark.anyio
QUEUE = "q.frames"
TOPOLOGY = Topology.of([("frames", QUEUE)])
SHORT_SECONDS = 0.1


def message(event_id: str, *, job_id: str = "job") -> Message:
    return Message(event_id=event_id, job_id=job_id, topic="frames", body="{}")


def numbers(count: int) -> list[str]:
    return [f"{number:05}" for number in range(count)]


@contextlib.asynccontextmanager
async def broker_at(
    url: str, *, lease_seconds: float = 30, owner: str | None = None, clock: ManualClock | None = None
) -> AsyncIterator[RedisBroker]:
    broker = RedisBroker(url, lease_seconds=lease_seconds, lease_owner=owner, clock=clock)
    try:
        await broker.declare(TOPOLOGY)
        yield broker
    finally:
        await broker.close()


@pytest.fixture
def url() -> str:
    return fresh_url()


@pytest.fixture
async def broker(url: str) -> AsyncIterator[RedisBroker]:
    async with broker_at(url) as broker:
        yield broker


async def take(broker: RedisBroker, limit: int = 1_000, *, wait_seconds: float = 0) -> list[Delivery]:
    return await broker.receive(QUEUE, limit=limit, wait_seconds=wait_seconds)


def keys_of(url: str) -> list[str]:
    return sorted(shared_server().execute("KEYS", f"{RedisAddress.of(url).prefix}:*"))


def connections_to(server: ValkeyServer) -> set[str]:
    """Their ids, without that of the one that asks."""
    lines = server.execute("CLIENT", "LIST").splitlines()
    return {line.split()[0] for line in lines if "cmd=client|list" not in line}


class TestTaking:
    async def test_what_is_released_comes_in_order_however_little_is_asked_for(self, broker: RedisBroker) -> None:
        """In one millisecond entries have sequence numbers of different lengths."""
        await broker.publish([message(name) for name in numbers(250)])
        taken = await take(broker)
        await broker.release(Random(7).sample(taken, len(taken)))
        again = [name for _ in range(25) for name in event_ids(await take(broker, 10))]
        assert again == numbers(250)

    async def test_each_goes_to_one_of_many_takers_in_order(self, url: str) -> None:
        async with contextlib.AsyncExitStack() as opened:
            brokers = [await opened.enter_async_context(broker_at(url)) for _ in range(4)]
            await brokers[0].publish([message(name) for name in numbers(3_000)])

            async def consume(broker: RedisBroker, random: Random) -> list[str]:
                told: list[str] = []
                while deliveries := await take(broker, random.randint(1, 200)):
                    told += event_ids(deliveries)
                    await asyncio.gather(broker.extend(deliveries), broker.extend(deliveries[::2]))
                    await broker.ack(random.sample(deliveries, len(deliveries)))
                return told

            told = await asyncio.gather(*(consume(broker, Random(seed)) for seed, broker in enumerate(brokers)))
            assert sorted(name for names in told for name in names) == numbers(3_000)
            assert all(names == sorted(names) for names in told)
            assert await brokers[0].holds("job", [QUEUE]) is False

    async def test_a_process_that_waits_hears_of_every_publication_of_another(
        self, broker: RedisBroker, url: str
    ) -> None:
        """It would look by itself only once a day, and each is published only when it has looked in vain."""
        rounds = 25
        with ready_children("tests.conformance.broker.redis_waiter", [[url, QUEUE, rounds]]) as (waiter,):

            async def line() -> str:
                return await asyncio.wait_for(asyncio.to_thread(waiter.line), 30)

            for name in numbers(rounds):
                assert await line() == WAITS
                await broker.publish([message(name)])
                assert await line() == name

    async def test_what_somebody_else_has_put_there_is_handed_out_beside_the_others(
        self, broker: RedisBroker, url: str
    ) -> None:
        stream = f"{RedisAddress.of(url).prefix}:{QUEUE}"
        shared_server().execute("XADD", stream, "*", "colour", "red")
        await broker.publish([message("a")])
        taken = await take(broker)
        assert event_ids(taken) == ["", "a"]
        await broker.ack(taken)
        assert shared_server().execute("XLEN", stream) == 0


class TestTime:
    async def test_a_lease_ends_by_the_clock_of_the_server(self, url: str) -> None:
        async with broker_at(url, lease_seconds=SHORT_SECONDS) as broker:
            await broker.publish([message("a")])
            (lost,) = await take(broker)
            (held,) = await take(broker, wait_seconds=20)
            assert (held.message.event_id, held.deliveries, held.is_suspect) == ("a", 2, True)
            assert await lost.extend() is False

    async def test_a_retry_is_due_by_the_clock_of_the_server(self, broker: RedisBroker) -> None:
        await broker.publish([message("a")])
        (first,) = await take(broker)
        await first.retry(SHORT_SECONDS)
        (again,) = await take(broker, wait_seconds=20)
        assert (again.attempts, again.deliveries) == (1, 2)

    async def test_a_clock_that_is_set_back_hides_nothing(self, url: str, clock: ManualClock) -> None:
        async with broker_at(url, clock=clock) as broker:
            await broker.publish([message("a"), message("b")])
            first, _ = await take(broker)
            await first.retry(60)
            clock.advance_ms(-86_400_000)
            assert event_ids(await take(broker)) == ["a", "b"]

    async def test_whoever_stops_waiting_for_an_answer_mixes_up_nobody_elses(
        self, url: str, clock: ManualClock
    ) -> None:
        async with broker_at(url, clock=clock) as broker:
            await broker.publish([message(name, job_id=f"job-{name}") for name in numbers(20)])
            for turns in range(60):
                asking = asyncio.create_task(take(broker, 3))
                for _ in range(turns):
                    await asyncio.sleep(0)
                asking.cancel()
                assert await broker.holds(f"job-{numbers(20)[turns % 20]}", [QUEUE]) is True
                assert await broker.holds("nobody", [QUEUE]) is False
            clock.advance(31)
            assert event_ids(await take(broker)) == numbers(20)


class TestProcesses:
    async def test_what_a_dead_process_held_is_handed_on_at_once(self, broker: RedisBroker, url: str) -> None:
        async with broker_at(url, owner="worker-1") as dead, broker_at(url, owner="worker-10") as alive:
            await broker.publish([message(name) for name in "abc"])
            (lost,), _ = await take(dead, 1), await take(alive, 1)
            assert await broker.release_leases("worker-1") == 1
            first, second = await take(broker)
            assert (first.message.event_id, first.deliveries, first.is_suspect) == ("a", 2, True)
            assert (second.message.event_id, second.deliveries) == ("c", 1)
            await lost.ack()
            assert await first.extend() is True

    async def test_what_was_taken_from_the_group_by_hand_does_not_stay_pending(
        self, broker: RedisBroker, url: str, clock: ManualClock
    ) -> None:
        await broker.publish([message("a")])
        stream = f"{RedisAddress.of(url).prefix}:{QUEUE}"
        shared_server().execute("XREADGROUP", "GROUP", "reelwork", "hand", "STREAMS", stream, ">")
        assert await take(broker) == []
        async with broker_at(url, clock=clock) as another:
            clock.advance(31)
            assert event_ids(await take(another)) == ["a"]


class TestServer:
    async def test_nothing_is_left_of_what_is_done(self, broker: RedisBroker, url: str) -> None:
        await broker.publish([message(name, job_id=f"job-{name}") for name in numbers(50)])
        taken = await take(broker)
        for delivery in taken[::2]:
            await delivery.retry(0)
        await broker.release(taken[1::4])
        await broker.ack([*await take(broker), *taken])
        stream = f"{RedisAddress.of(url).prefix}:{QUEUE}"
        assert keys_of(url) == [stream]
        assert shared_server().execute("XLEN", stream) == 0
        assert shared_server().execute("XPENDING", stream, "reelwork")["pending"] == 0

    async def test_a_delivery_that_is_acknowledged_twice_in_one_call_counts_once(self, broker: RedisBroker) -> None:
        await broker.publish([message("a"), message("b")])
        first, second = await take(broker)
        await broker.ack([first, first])
        assert await broker.holds("job", [QUEUE]) is True
        await broker.ack([second, second])
        assert await broker.holds("job", [QUEUE]) is False

    async def test_it_can_be_asked_how_much_waits_and_how_much_is_in_hand(self, broker: RedisBroker, url: str) -> None:
        await broker.publish([message(name) for name in "abcde"])
        first, _, third = await take(broker, 3)
        await first.ack()
        await third.retry(60)
        stream = f"{RedisAddress.of(url).prefix}:{QUEUE}"
        server = shared_server()
        assert (server.execute("XLEN", stream), server.execute("HLEN", f"{stream}:leases")) == (4, 1)
        (group,) = server.execute("XINFO", "GROUPS", stream)
        assert (group["name"], group["lag"], group["pending"]) == ("reelwork", 2, 2)

    async def test_one_that_forgot_everything_is_gone_on_with(self) -> None:
        with valkey_server() as server:
            async with broker_at(server.url()) as broker:
                await broker.publish([message("lost"), message("lost too")])
                held, _ = await take(broker)
                waiting = asyncio.create_task(take(broker, wait_seconds=600))
                server.execute("FLUSHALL")
                await broker.publish([message("a")])
                assert event_ids(await waiting) == ["a"]
                await held.ack()
                await held.retry(0)
                assert await held.extend() is False
                assert await broker.holds("job", [QUEUE]) is True

    async def test_one_that_is_killed_costs_an_error_until_it_is_back(self) -> None:
        with valkey_server(appendonly="yes", appendfsync="always") as server:
            async with broker_at(server.url()) as broker:
                await broker.publish([message("a"), message("b")])
                (held,) = await take(broker, 1)
                server.kill()
                for refused in (broker.publish([message("c")]), take(broker), held.ack(), broker.ping()):
                    with pytest.raises(StoreUnavailable, match=r"redis://:\*\*\*@127\.0\.0\.1") as caught:
                        await refused
                    assert "s3cret" not in str(caught.value)
                server.restart()
                await held.ack()
                assert event_ids(await take(broker)) == ["b"]
                waiting = asyncio.create_task(take(broker, wait_seconds=600))
                await broker.publish([message("d")])
                assert event_ids(await waiting) == ["d"]

    async def test_one_that_stalls_costs_an_error_and_a_lease(self) -> None:
        """What was asked of it in vain it may do later: then nobody holds what it gave, until the lease ends."""
        with valkey_server() as server:
            url = f"{server.url()}&socket_timeout={SHORT_SECONDS}"
            async with broker_at(url, lease_seconds=SHORT_SECONDS) as broker:
                await broker.publish([message("a")])
                os.kill(server.pid, signal.SIGSTOP)
                try:
                    for refused in (take(broker), broker.ping()):
                        with pytest.raises(StoreUnavailable):
                            await refused
                finally:
                    os.kill(server.pid, signal.SIGCONT)
                (delivery,) = await take(broker, wait_seconds=20)
                assert delivery.message.event_id == "a"
                await delivery.ack()
                assert await broker.holds("job", [QUEUE]) is False

    async def test_what_it_loses_with_its_last_snapshot_comes_back_as_it_was_then(self) -> None:
        with valkey_server(save="3600 1") as server:
            async with broker_at(server.url()) as broker:
                await broker.publish([message("a"), message("b")])
                first, second = await take(broker)
                server.execute("SAVE")
                await first.ack()
                await broker.publish([message("c")])
                server.kill()
                server.restart()
                assert await second.extend() is True
                assert await take(broker) == []
                assert await broker.holds("job", [QUEUE]) is True
                await broker.ack([first, second])
                assert await broker.holds("job", [QUEUE]) is False

    async def test_one_that_became_a_replica_is_left(self) -> None:
        with valkey_server() as server:
            async with broker_at(server.url()) as broker:
                await broker.publish([message("a")])
                before = connections_to(server)
                server.execute("REPLICAOF", "127.0.0.1", "1")
                with pytest.raises(StoreUnavailable, match="read only"):
                    await broker.publish([message("b")])
                server.execute("REPLICAOF", "NO", "ONE")
                await broker.publish([message("c")])
                assert before
                assert before.isdisjoint(connections_to(server))
                assert event_ids(await take(broker)) == ["a", "c"]

    async def test_one_that_is_full_takes_nothing_in_and_everything_out(self) -> None:
        with valkey_server() as server:
            async with broker_at(server.url()) as broker:
                await broker.publish([message(name) for name in numbers(9)])
                taken = await take(broker, 6)
                server.execute("CONFIG", "SET", "maxmemory", "1")
                with pytest.raises(StoreUnavailable, match=r"refuses: .*maxmemory"):
                    await broker.publish([message("too much")])
                await broker.ack(taken[:2])
                await broker.release(taken[2:4])
                await taken[4].retry(0)
                assert await taken[5].extend() is True
                assert event_ids(await take(broker)) == [*numbers(9)[2:5], *numbers(9)[6:]]


async def test_a_user_with_no_more_rights_than_the_manual_names() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "brokers.md").read_text()
    (rule,) = (line for line in manual.splitlines() if line.startswith("ACL SETUSER"))
    with valkey_server() as server:
        server.execute(*rule.split())
        async with broker_at(server.url(user="reelwork", password="PASSWORD"), owner="worker") as broker:
            waiting = asyncio.create_task(take(broker, wait_seconds=600))
            await broker.publish([message("a")])
            (delivery,) = await waiting
            assert await delivery.extend() is True
            await delivery.retry(0)
            (delivery,) = await take(broker)
            await delivery.release()
            await take(broker)
            assert await broker.release_leases("worker") == 1
            await broker.ack(await take(broker))
            assert await broker.holds("job", [QUEUE]) is False
            await broker.ping()
        with pytest.raises(ConfigurationError, match="No permissions"):
            async with broker_at(server.url(prefix="another", user="reelwork", password="PASSWORD")):
                pass


class TestEncrypted:
    async def test_messages_go_through_tls_to_a_server_that_proves_who_it_is(self, tmp_path: Path) -> None:
        certificate, context = await asyncio.to_thread(self_signed, tmp_path)
        server = shared_server()
        async with tls_before(server.port, context) as port:
            encrypted = f"rediss://:{PASSWORD}@localhost:{port}/0?prefix={server.new_prefix()}"
            async with broker_at(f"{encrypted}&ssl_ca_certs={certificate}") as broker:
                waiting = asyncio.create_task(take(broker, wait_seconds=600))
                await broker.publish([message("a")])
                assert event_ids(await waiting) == ["a"]
            with pytest.raises(StoreUnavailable, match=r"(?i)certificate.verify.failed"):
                async with broker_at(encrypted):
                    pass


class TestRefused:
    async def test_a_cluster(self) -> None:
        with valkey_server(**{"cluster-enabled": "yes"}) as server:
            await self.refused(server, "is a Redis Cluster, which is not supported")

    async def test_a_server_that_throws_away_what_does_not_fit(self) -> None:
        with valkey_server(**{"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}) as server:
            await self.refused(server, r"maxmemory-policy allkeys-lru\); set maxmemory-policy to noeviction")

    async def test_a_wrong_password(self) -> None:
        await self.refused(shared_server(), "does not let this user in", password="guessed")

    async def refused(self, server: ValkeyServer, why: str, **options: str) -> None:
        with pytest.raises(ConfigurationError, match=why) as caught:
            async with broker_at(server.url(**options)):
                pass
        assert "s3cret" not in str(caught.value)
        assert "guessed" not in str(caught.value)
