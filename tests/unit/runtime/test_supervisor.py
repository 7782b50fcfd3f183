"""Real worker processes: what they have in hand survives their end, and none of them outlives its parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from reelwork.errors import ConfigurationError, ReelworkError
from reelwork.ledger import AssetState, JobStatus
from reelwork.runtime import supervisor as supervisor_module
from reelwork.runtime.process import REPLACE_ME, UNAVAILABLE
from reelwork.runtime.supervisor import Supervisor, worker_environment
from tests.house import ITEMS, PLANS, House, config_in, open_house, plain_service, run, stage_service
from tests.switchboard import Switchboard, plan, switchboard, work

DONE, FAILED = AssetState.DONE, AssetState.FAILED
END_SECONDS_MAX = 20.0
NOBODY_LISTENS = "postgresql://postgres@127.0.0.1:1/none"
NODE = """
import asyncio, ctypes, signal
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # it does not outlive its test either
from reelwork.runtime.backends import open_backends
from reelwork.runtime.node import run_node
from reelwork.settings import Config

async def main():
    await run_node(await open_backends(Config()), asyncio.Event(), workers=2)

asyncio.run(main())
"""


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switchboard]:
    monkeypatch.setattr(supervisor_module, "RESTART_SECONDS_MIN", 0.01)
    with switchboard(tmp_path, monkeypatch) as board:
        yield board


@contextlib.asynccontextmanager
async def house_in(folder: Path) -> AsyncIterator[House]:
    """The clock of worker processes is real, so this one must not stand still either."""
    async with open_house(folder / "data", plain_service(plan), stage_service(work, prefetch=2)) as house:
        house.clock.now_ms = round(time.time() * 1000)
        yield house


@contextlib.asynccontextmanager
async def supervised(house: House, *, workers: int = 1) -> AsyncIterator[Supervisor]:
    stop = asyncio.Event()
    supervisor = Supervisor(house.backends, concurrency=workers)
    running = asyncio.create_task(supervisor.run(stop))
    try:
        yield supervisor
    finally:
        stop.set()
        await running
        assert supervisor.pids == []


@contextlib.contextmanager
def process(*arguments: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE, env=environment) as started:
        try:
            yield started
        finally:
            started.kill()


async def until(house: House, is_so: Callable[[], bool]) -> None:
    """Looks again at every commit; a lost ring costs a quarter of a second."""
    with contextlib.closing(house.backends.ledger.database.listen()) as listener:  # type: ignore[attr-defined]
        while not is_so():
            await asyncio.to_thread(select.select, [listener], [], [], 0.25)
            listener.take()


def have_ended(pids: list[int]) -> bool:
    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    _, alive = psutil.wait_procs(processes, timeout=END_SECONDS_MAX)
    return not alive


class TestWorkerProcess:
    def test_sigterm_drains_it(self, tmp_path: Path, board: Switchboard) -> None:
        async def test() -> None:
            async with house_in(tmp_path) as house:
                job_id = house.start()
                for name in "abc":
                    house.send(job_id, name)
                environment = worker_environment(house.backends.config)
                with process("-m", "reelwork.runtime.process", "worker", environment=environment) as worker:
                    calls = await asyncio.to_thread(board.calls, 2)
                    worker.send_signal(signal.SIGTERM)
                    for call in calls.values():
                        call.answer()
                    assert await asyncio.to_thread(worker.wait, END_SECONDS_MAX) == 0
                assert sorted(calls) == ["a", "b"]
                assert house.states(job_id) == {"a": DONE, "b": DONE}
                assert (await house.take_one(ITEMS)).deliveries == 1

        run(test())

    def test_ends_with_a_parent_that_never_read_its_reports(self, tmp_path: Path, board: Switchboard) -> None:
        async def test() -> None:
            async with house_in(tmp_path) as house:
                job_id = house.start()
                house.send(job_id, "a")
                environment = worker_environment(house.backends.config)
                ours, theirs = socket.socketpair()
                command = [sys.executable, "-m", "reelwork.runtime.process", "worker"]
                with ours, theirs, subprocess.Popen(command, stdin=theirs, env=environment) as worker:
                    try:
                        theirs.close()
                        (await asyncio.to_thread(board.next_call)).answer()
                        await asyncio.to_thread(select.select, [ours], [], [], END_SECONDS_MAX)
                        ours.close()  # what lies there unread resets the line
                        assert await asyncio.to_thread(worker.wait, END_SECONDS_MAX) == 0
                    finally:
                        worker.kill()

        run(test())

    def test_a_handler_that_hangs_has_it_replaced(self, tmp_path: Path, board: Switchboard) -> None:
        async def test() -> None:
            async with house_in(tmp_path) as house:
                house.submit()
                environment = worker_environment(house.backends.config) | {
                    "REELWORK_HANDLER_TIMEOUT_SECONDS": "0.2",
                    "REELWORK_DRAIN_SECONDS": "0.2",
                }
                with process("-m", "reelwork.runtime.process", "worker", environment=environment) as worker:
                    await asyncio.to_thread(board.calls, 1)
                    assert await asyncio.to_thread(worker.wait, END_SECONDS_MAX) == REPLACE_ME
                house.clock.advance(60)
                delivery = await house.take_one(PLANS)
                assert (delivery.attempts, delivery.is_suspect) == (1, False)

        run(test())

    def test_ends_with_its_parent_however_that_ends(self, tmp_path: Path, board: Switchboard) -> None:
        async def test() -> None:
            async with house_in(tmp_path) as house:
                job_id = house.start()
                house.send(job_id, "a")
                house.submit()
                environment = worker_environment(house.backends.config) | {"REELWORK_DRAIN_SECONDS": "1"}
                with process("-c", NODE, environment=environment) as node:
                    calls = await asyncio.to_thread(board.calls, 2)
                    pids = [child.pid for child in psutil.Process(node.pid).children()]
                    assert len(pids) == 2
                    node.kill()
                    calls["a"].answer()
                    assert await asyncio.to_thread(have_ended, pids)
                assert house.states(job_id) == {"a": DONE}, "it finished what it could"
                house.clock.advance(60)
                assert not (await house.take_one(PLANS)).is_suspect, "and gave back what it could not"

        run(test())


class TestSupervisor:
    def test_hands_on_at_once_what_a_killed_worker_held(self, tmp_path: Path, board: Switchboard) -> None:
        async def test() -> None:
            async with house_in(tmp_path) as house:
                job_id = house.start()
                house.send(job_id, "a")
                async with supervised(house):
                    first = await asyncio.to_thread(board.next_call)
                    os.kill(first.pid, signal.SIGKILL)
                    second = await asyncio.to_thread(board.next_call)  # long before its lease of 30 s ends
                    assert (second.name, second.pid != first.pid) == ("a", True)
                    second.answer()
                    await until(house, lambda: house.states(job_id) == {"a": DONE})

        run(test())

    def test_a_killer_takes_no_neighbour_with_it(self, tmp_path: Path, board: Switchboard) -> None:
        """Killer and neighbours are in hand together; the job and the asset beside it must not pay for it."""

        async def test() -> None:
            async with house_in(tmp_path) as house:
                job_id, neighbour = house.start(), house.submit()
                house.send(job_id, "killer")
                house.send(job_id, "a")
                async with supervised(house):
                    calls = await asyncio.to_thread(board.calls, 3)
                    assert sorted(calls) == ["a", "killer", "plan"]
                    calls["killer"].answer("die")
                    deaths, answered = 1, set[str]()
                    while deaths < 4 or len(answered) < 2:
                        call = await asyncio.to_thread(board.next_call)
                        if call.name == "killer":
                            deaths += 1
                        else:
                            answered.add(call.name)
                        call.answer("die" if call.name == "killer" else "go on")
                    await until(house, lambda: house.states(job_id) == {"a": DONE, "killer": FAILED})
                    await until(house, lambda: house.job(neighbour).status is JobStatus.RUNNING)
                assert deaths == 4
                assert house.letters(neighbour) == []

        run(test())

    def test_stops_a_worker_that_is_just_being_started(self, tmp_path: Path, board: Switchboard) -> None:  # noqa: ARG002
        async def test() -> None:
            async with house_in(tmp_path) as house:
                stop = asyncio.Event()
                running = asyncio.create_task(Supervisor(house.backends, concurrency=3).run(stop))
                await asyncio.sleep(0)
                stop.set()
                await running
                ours = [child.cmdline() for child in psutil.Process().children()]
                assert not [line for line in ours if str(tmp_path) in line]

        run(test())

    def test_says_so_when_workers_cannot_start(self, tmp_path: Path, board: Switchboard) -> None:  # noqa: ARG002
        async def test() -> None:
            (tmp_path / "rung_up.py").write_text("raise ImportError('no such library')")
            async with house_in(tmp_path) as house:
                with pytest.raises(ConfigurationError, match="could not start"):
                    await Supervisor(house.backends, concurrency=1).run(asyncio.Event())

        run(test())

    def test_refuses_what_it_cannot_run(self, tmp_path: Path) -> None:
        async def test() -> None:
            async with house_in(tmp_path) as house:
                with pytest.raises(ConfigurationError, match="no service is called nobody; there are: items, plans"):
                    Supervisor(house.backends, concurrency=1, services=["nobody"])
                with pytest.raises(ConfigurationError, match="at least one worker"):
                    Supervisor(house.backends, concurrency=0)

        run(test())


def test_children_get_the_settings_of_their_parent(tmp_path: Path) -> None:
    config = config_in(
        tmp_path, REELWORK_LEASE_SECONDS=7, COMPLETION_THRESHOLD_PERCENTAGE="12.5", REELWORK_API_TOKEN="x"
    )
    environment = worker_environment(config)
    assert environment["REELWORK_LEASE_SECONDS"] == "7.0"
    assert environment["COMPLETION_THRESHOLD_PERCENTAGE"] == "12.5"
    assert environment["REELWORK_DATA_DIR"] == str(tmp_path)
    assert "REELWORK_API_TOKEN" not in environment


def test_workers_that_always_break_at_their_start_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "RESTART_SECONDS_MIN", 0.01)
    monkeypatch.setattr(sys, "executable", "/bin/false")

    async def test() -> None:
        async with house_in(tmp_path) as house:
            with pytest.raises(ReelworkError, match="broke 5 times at its start"):
                await Supervisor(house.backends, concurrency=2).run(asyncio.Event())

    run(test())


def test_a_worker_that_finds_no_database_says_so_and_is_not_broken(tmp_path: Path) -> None:
    """Whoever keeps it tries again for as long as it takes; what is broken is given up after some starts."""
    environment = {**os.environ, "REELWORK_DATA_DIR": str(tmp_path), "REELWORK_DATABASE_URL": NOBODY_LISTENS}
    command = [sys.executable, "-m", "reelwork.runtime.process", "worker"]
    ended = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert ended.returncode == UNAVAILABLE
    assert ended.stderr.startswith("reelwork worker: the database postgresql://")
    assert "Traceback" not in ended.stderr


def test_what_a_process_has_set_aside_does_not_reach_its_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They would work on the database of the environment, which their parent has left alone."""
    monkeypatch.setenv("REELWORK_DATABASE_URL", "postgresql://user:s3cret@host/db")
    config = config_in(tmp_path)
    assert worker_environment(config)["REELWORK_DATABASE_URL"] == "postgresql://user:s3cret@host/db"
    alone = config.model_copy(update={"REELWORK_DATABASE_URL": None})
    assert "REELWORK_DATABASE_URL" not in worker_environment(alone)
