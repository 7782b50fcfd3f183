"""Keeps N worker processes running: starts them, replaces those that die, hands their messages on, stops them in
order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

import structlog
from pydantic import SecretStr

from reelwork.errors import ConfigurationError, ReelworkError, StoreUnavailable
from reelwork.runtime.backends import Backends
from reelwork.runtime.crew import WorkerState
from reelwork.runtime.declaration import Catalogue
from reelwork.runtime.metrics.catalogue import WORKER_ENDS
from reelwork.runtime.metrics.tally import TALLY
from reelwork.runtime.process import BROKEN, CONFIGURATION, REPLACE_ME, UNAVAILABLE
from reelwork.runtime.reports import REPORT_BYTES_MAX, decoded
from reelwork.settings import Config

RESTART_SECONDS_MIN: Final = 0.1
RESTART_SECONDS_MAX: Final = 30.0
HEALTHY_AFTER_SECONDS: Final = 10.0
FAILED_STARTS_MAX: Final = 5
KILL_AFTER_DRAIN_SECONDS: Final = 5.0
LAST_REPORT_SECONDS: Final = 1.0
CAUSES: Final = {REPLACE_ME: "hung", UNAVAILABLE: "unavailable", CONFIGURATION: "configuration"}

log = structlog.get_logger("reelwork.supervisor")


class Supervisor:
    """concurrency: number of worker processes. services: names, all where there are none."""

    def __init__(self, backends: Backends, *, concurrency: int, services: Sequence[str] = ()) -> None:
        check_services(backends.catalogue, services)
        if concurrency < 1:
            raise ConfigurationError("at least one worker process is needed; give --workers 1 or more")
        self._backends = backends
        self._crew = backends.crew
        self._concurrency = concurrency
        self._services = services
        self._processes: set[asyncio.subprocess.Process] = set()

    @property
    def pids(self) -> list[int]:
        """The worker processes that run now."""
        return [process.pid for process in self._processes]

    async def run(self, stop: asyncio.Event) -> None:
        """Runs the workers until `stop`, then drains them.

        Raises ConfigurationError when a worker cannot start at all.
        """
        self._crew.wanted = self._concurrency
        keepers = [asyncio.create_task(self._keep(stop)) for _ in range(self._concurrency)]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopping, *keepers}, return_when=asyncio.FIRST_COMPLETED)
            for keeper in keepers:
                if keeper.done():
                    keeper.result()
        finally:
            stop.set()
            self._crew.is_draining = True
            stopping.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def _keep(self, stop: asyncio.Event) -> None:
        pause, failed_starts, has_worked = RESTART_SECONDS_MIN, 0, False
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            born = loop.time()
            status = await self._run_one(stop)
            if stop.is_set():
                return
            was_healthy = loop.time() - born >= HEALTHY_AFTER_SECONDS
            has_worked |= was_healthy
            if status == CONFIGURATION and not has_worked:
                raise ConfigurationError("a worker process could not start; its reason stands above")
            pause = RESTART_SECONDS_MIN if was_healthy else pause * 2
            failed_starts = failed_starts + 1 if status == BROKEN else 0
            if failed_starts == FAILED_STARTS_MAX and not has_worked:
                raise ReelworkError(f"a worker broke {failed_starts} times at its start; its reason stands above")
            WORKER_ENDS.count(CAUSES.get(status, "died"))
            log.warning("reelwork.supervisor.restart", exit_status=status, hung=status == REPLACE_ME)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause, RESTART_SECONDS_MAX)):
                    await stop.wait()

    async def _run_one(self, stop: asyncio.Event) -> int:
        """Runs one worker process to its end, which `stop` brings about; its exit status."""
        name = f"worker-{uuid4().hex}"
        process, line = await self._start(name)
        self._processes.add(process)
        self._crew.states[name] = WorkerState.STARTING
        hearing = asyncio.create_task(self._hear(name, line))
        ended, stopping = asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                self._crew.is_draining = True
                await self._drain(process)
            return await ended
        finally:
            stopping.cancel()
            self._processes.discard(process)
            await asyncio.wait([hearing], timeout=LAST_REPORT_SECONDS)
            hearing.cancel()
            self._crew.states.pop(name, None)
            await self._hand_on(name)

    async def _start(self, name: str) -> tuple[asyncio.subprocess.Process, socket.socket]:
        """A worker process, and our end of the line to it."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "reelwork.runtime.process",
                    name,
                    *self._services,
                    stdin=theirs.fileno(),
                    process_group=0,  # Ctrl-C in a terminal reaches its parent alone, which stops it in order
                    env=worker_environment(self._backends.config),
                )
        except BaseException:
            ours.close()
            raise
        return process, ours

    async def _hear(self, name: str, line: socket.socket) -> None:
        """Takes in what a worker process reports, to its end. The line stays open until then: its end would stop it."""
        reader, writer = await asyncio.open_connection(sock=line, limit=REPORT_BYTES_MAX)
        try:
            while True:
                try:
                    said = await reader.readline()
                    if not said:
                        return
                    report = decoded(said)
                    TALLY.add(report.numbers)
                except (ValueError, TypeError) as error:  # numbers are lost, no work
                    log.warning("reelwork.supervisor.report_failed", error=str(error))
                    continue
                self._crew.states[name] = report.state
        except OSError as error:
            log.warning("reelwork.supervisor.report_failed", error=str(error))
        finally:
            writer.close()

    async def _hand_on(self, name: str) -> None:
        """What a dead worker held goes to the others at once; where that fails, when its leases end."""
        try:
            await self._backends.broker.release_leases(name)
        except StoreUnavailable as error:
            log.warning("reelwork.supervisor.hand_on_failed", error=str(error))

    async def _drain(self, process: asyncio.subprocess.Process) -> None:
        """Lets a worker finish what it has at hand, and kills it when that takes longer than it may."""
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(self._backends.config.REELWORK_DRAIN_SECONDS + KILL_AFTER_DRAIN_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()


def check_services(catalogue: Catalogue, services: Sequence[str]) -> None:
    """Raises ConfigurationError naming the known ones, or for settings that one of them cannot work with."""
    known = catalogue.services()
    unknown = sorted(set(services) - set(known))
    if unknown:
        raise ConfigurationError(f"no service is called {', '.join(unknown)}; there are: {', '.join(known)}")
    catalogue.check_settings(services)


def worker_environment(config: Config) -> dict[str, str]:
    """The settings of this process as environment variables, for its children: none that it has set aside itself."""
    secrets = {name: value for name, value in config if isinstance(value, SecretStr)}
    own = config.model_dump(mode="json", exclude_none=True, exclude=set(secrets))
    own |= {name: value.get_secret_value() for name, value in secrets.items() if name != "REELWORK_API_TOKEN"}
    inherited = {name: value for name, value in os.environ.items() if name not in Config.model_fields}
    return {**inherited, **{name: str(value) for name, value in own.items()}, "OPENBLAS_NUM_THREADS": "1"}
