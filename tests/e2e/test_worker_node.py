"""`reelwork worker` on its own: three addresses and no folder, one port for all its processes, and an end in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from reelwork.broker.redis import RedisBroker
from reelwork.ledger import AssetState
from tests.e2e.commands import running, start
from tests.house import ITEMS, STAGE, House, open_house, plain_service, stage_service
from tests.switchboard import ADDRESS, Switchboard, plan, switchboard, work
from tests.valkey import ValkeyServer, valkey_server

SECONDS_MAX = 60.0
WORKER_ALONE = ("worker", "items", "--concurrency", "1", "--json")
WORKER = ("worker", "items", "plans", "--metrics-port", "0")
Numbers = Mapping[tuple[str, ...], float]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switchboard]:
    with switchboard(tmp_path, monkeypatch) as board:
        yield board


@contextlib.asynccontextmanager
async def house_in(folder: Path) -> AsyncIterator[House]:
    """On the data of the workers; their clock is real, so this one must not stand still either."""
    async with open_house(folder, plain_service(plan), stage_service(work, prefetch=2)) as house:
        house.clock.now_ms = round(time.time() * 1000)
        yield house


def numbers(url: str) -> Numbers:
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    return {(s.name, *(s.labels[k] for k in sorted(s.labels))): s.value for f in families for s in f.samples}


def until(is_so: Callable[[], bool]) -> None:
    """Asks again every 50 ms: what is told over a port rings no bell."""
    deadline = time.monotonic() + SECONDS_MAX
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def readiness(url: str) -> tuple[int, str]:
    answer = httpx.get(f"{url}/readyz")
    return answer.status_code, answer.text.strip()


def test_one_port_tells_of_all_processes_and_a_draining_node_leaves_its_work_to_others(
    tmp_path: Path, board: Switchboard
) -> None:
    async def test() -> None:
        data, rings = tmp_path / "data", {ADDRESS: os.environ[ADDRESS]}
        async with house_in(data) as house:
            with running([*WORKER, "--data", data, "--concurrency", "2"], environment=rings) as worker:
                url = worker.told["metrics"]
                assert httpx.get(f"{url}/healthz").text == "ok\n"
                await asyncio.to_thread(until, lambda: readiness(url) == (200, "ready"))
                job_id = house.start()
                house.announce(job_id, 8)
                house.send(job_id, "a")
                (await asyncio.to_thread(board.next_call)).answer("die")
                for name in "bcdef":
                    house.send(job_id, name)
                for _ in range(6):
                    (await asyncio.to_thread(board.next_call)).answer()

                def is_told() -> bool:
                    return numbers(url).get(("reelwork_assets_total", "done", STAGE)) == 6

                await asyncio.to_thread(until, is_told)
                found = numbers(url)
                assert found["reelwork_worker_restarts_total", "died"] == 1
                assert found["reelwork_suspect_deliveries_total", ITEMS] >= 1
                assert found["reelwork_handler_duration_seconds_count", ITEMS, "items"] == 6
                assert ("reelwork_jobs", "running") not in found, "what is there is the server's to tell"

                house.send(job_id, "g")
                held = await asyncio.to_thread(board.next_call)
                worker.process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(until, lambda: readiness(url)[0] == 503)
                assert readiness(url)[1].startswith("draining")
                assert httpx.get(f"{url}/healthz").status_code == 200
                house.send(job_id, "h")
                with running([*WORKER, "--data", data, "--concurrency", "1"], environment=rings) as other:
                    assert other.told["metrics"] != url, "two on one machine"
                    elsewhere = await asyncio.to_thread(board.next_call)
                    assert (elsewhere.name, worker.process.poll()) == ("h", None)
                    elsewhere.answer()
                    held.answer()
                    assert await asyncio.to_thread(worker.process.wait, SECONDS_MAX) == 0
                    await asyncio.to_thread(until, lambda: house.stage(job_id).completion is not None)
                    assert set(house.states(job_id).values()) == {AssetState.DONE}
                    with pytest.raises(httpx.ConnectError):
                        httpx.get(f"{url}/healthz")

    asyncio.run(test())


def test_it_waits_for_what_is_not_up_yet_and_needs_no_folder(tmp_path: Path, board: Switchboard) -> None:
    async def test(valkey: ValkeyServer) -> None:
        home = tmp_path / "home"
        home.mkdir()
        environment = {
            "REELWORK_DATABASE_URL": f"sqlite:///{tmp_path}/data/reelwork.db",
            "REELWORK_BROKER_URL": valkey.url(),
            "REELWORK_OBJECTS_URL": f"file://{tmp_path}/objects",
            "REELWORK_METRICS_PORT": str(free_port()),
            "HOME": str(home),
            ADDRESS: os.environ[ADDRESS],
        }
        url = f"http://127.0.0.1:{environment['REELWORK_METRICS_PORT']}"
        async with open_house(tmp_path / "data", stage_service(work)) as house:
            house.clock.now_ms = round(time.time() * 1000)
            valkey.kill()
            with start(*WORKER_ALONE, environment=environment, prefix=("env", "-C", str(home))) as process:
                try:
                    await asyncio.to_thread(waits_then_works, process, url, valkey)
                    job_id = house.start()
                    house.send(job_id, "a")
                    await carry(house, valkey.url())
                    (await asyncio.to_thread(board.next_call)).answer()
                    await asyncio.to_thread(until, lambda: house.states(job_id) == {"a": AssetState.DONE})
                    process.send_signal(signal.SIGTERM)
                    assert await asyncio.to_thread(process.wait, SECONDS_MAX) == 0
                finally:
                    process.kill()
        assert list(home.iterdir()) == []

    with valkey_server() as valkey:
        asyncio.run(test(valkey))


def waits_then_works(process: subprocess.Popen[str], url: str, valkey: ValkeyServer) -> None:
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "reelwork.start.waiting" in line
    assert "REELWORK_BROKER_URL" in line
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert readiness(url) == (503, "starting: a back end is waited for")
    valkey.restart()
    until(lambda: readiness(url) == (200, "ready"))


async def carry(house: House, url: str) -> None:
    """What lies in the queue of the database, to the broker of the worker."""
    broker = RedisBroker(url)
    await broker.declare(house.broker.topology)
    await broker.publish([(await house.take_one(ITEMS)).message])
    await broker.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
