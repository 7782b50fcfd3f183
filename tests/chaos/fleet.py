"""The processes under fire: a server and workers beside it, started as users start them, on one store.

Everything they start carries the fleet's mark in its environment, so that none is overlooked and no stranger is hit.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.chaos.diary import ADDRESS
from tests.chaos.mosaic import NAME, POISON
from tests.e2e.commands import start

MARK: Final = "REELWORK_CHAOS_FLEET"
WORKER_MODULE: Final = "reelwork.runtime.process"
REPOSITORY: Final = Path(__file__).parents[2]
WORKERS_EACH: Final = 2
LEASE_SECONDS: Final = 3.0
DRAIN_SECONDS: Final = 2.0
STOP_SECONDS_MAX: Final = 60.0
NO_DATABASE: Final = "does not answer"
READY_TRIES_MAX: Final = 5
DATA_FOLDER: Final = '"data"'
"""Is in the line that tells that a parent is ready, and in no other."""
LAST_WORDS: Final = 2_000
SETTINGS: Final = {
    "REELWORK_LEASE_SECONDS": str(LEASE_SECONDS),
    "REELWORK_DRAIN_SECONDS": str(DRAIN_SECONDS),
    "REELWORK_SWEEP_SECONDS": "0.5",
    "REELWORK_LOG_LEVEL": "warning",
}


@dataclass(frozen=True, kw_only=True)
class Blow:
    """at: epoch ms. pids: the processes killed with SIGKILL; none where something else was done."""

    name: str
    at: int
    pids: frozenset[int] = frozenset()


class Fleet:
    """`server` runs the API, relay, sweeper and two workers; `beside` relay, sweeper and two more workers."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.poison = folder / "poison"
        _install_pipeline(folder / "installed")
        self._environment = {
            **SETTINGS,
            **settings,
            MARK: str(folder),
            ADDRESS: str(folder / "diary"),
            POISON: str(self.poison),
            "PYTHONPATH": f"{folder / 'installed'}{os.pathsep}{REPOSITORY}",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._log_of: dict[int, Path] = {}
        self.refused_starts = 0
        self._told_by: dict[int, str] = {}
        self.server = self._start("serve", "--port", "0", "--workers", str(WORKERS_EACH))
        assert self._tells_that_it_is_ready(self.server), self.log()
        self.url: str = json.loads(self._told_by[self.server.pid])["url"]
        self.beside = self._start_beside()

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    def workers(self) -> list[psutil.Process]:
        """Every worker process alive, also those whose parent is gone."""
        return [process for process in self.processes() if _is_worker(process)]

    def processes(self) -> list[psutil.Process]:
        """Whatever this fleet has started and still runs, in whatever depth."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def replace_parents(self, blows: Iterable[Blow]) -> None:
        """Starts those anew that were killed, and does not wait until they are ready. Others must live, but for one
        that was to start without its database: it says so and ends, and whoever keeps it starts it again.
        """
        killed = {pid for blow in blows for pid in blow.pids}
        if self._has_ended(self.server, killed):
            self.server = self._start("serve", "--port", self.port, "--workers", str(WORKERS_EACH))
        if self._has_ended(self.beside, killed):
            self.beside = self._start_beside()

    def wait_until_ready(self) -> None:
        """Until both parents have told that they are ready; started again where they refuse."""
        for _ in range(READY_TRIES_MAX):
            self.replace_parents([])
            if all(self._tells_that_it_is_ready(parent) for parent in (self.server, self.beside)):
                return
        raise AssertionError(self.log())

    def _tells_that_it_is_ready(self, parent: subprocess.Popen[str]) -> bool:
        """False when it ends instead."""
        if parent.pid not in self._told_by:
            assert parent.stdout is not None
            self._told_by[parent.pid] = parent.stdout.readline()
        if DATA_FOLDER in self._told_by[parent.pid]:
            return True
        parent.wait(STOP_SECONDS_MAX)
        return False

    def _has_ended(self, parent: subprocess.Popen[str], killed: Collection[int]) -> bool:
        if parent.pid in killed:
            parent.wait(STOP_SECONDS_MAX)
        elif parent.poll() is None:
            return False
        else:
            told = (parent.returncode, self._last_words(parent))
            assert parent.returncode == 1, told
            assert NO_DATABASE in told[1], told
            self.refused_starts += 1
        _close_pipes(parent)
        return True

    def _last_words(self, parent: subprocess.Popen[str]) -> str:
        assert parent.stdout is not None
        told = self._told_by.get(parent.pid, "") + parent.stdout.read()
        return told + self._log_of[parent.pid].read_text()[-LAST_WORDS:]

    def stop(self) -> list[int]:
        """Exit statuses of both parents, stopped in order."""
        for process in (self.server, self.beside):
            process.send_signal(signal.SIGTERM)
        return [process.wait(STOP_SECONDS_MAX) for process in (self.server, self.beside)]

    def left_over(self) -> list[psutil.Process]:
        """Processes that have not ended although their parents have, and have had time to."""
        _, alive = psutil.wait_procs(self.processes(), timeout=DRAIN_SECONDS + STOP_SECONDS_MAX)
        return list(alive)

    def log(self) -> str:
        """What all of them have said."""
        return "".join(path.read_text() for path in self._log_of.values())

    def kill(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for parent in (self.server, self.beside):
            parent.wait(STOP_SECONDS_MAX)
            _close_pipes(parent)

    def _start_beside(self) -> subprocess.Popen[str]:
        return self._start("worker", "--concurrency", str(WORKERS_EACH))

    def _start(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        data = str(self.folder / "data")
        path = self.folder / f"log-{len(self._log_of):03}"
        with path.open("w") as log:
            process = start(
                command, "--data", data, *arguments, "--json", environment=self._environment, stderr=log.fileno()
            )
        self._log_of[process.pid] = path
        return process

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == str(self.folder)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


@contextlib.contextmanager
def fleet(folder: Path, settings: Mapping[str, str]) -> Iterator[Fleet]:
    """None of its processes is left at the end, nor when this process is killed: parents die with it, and workers with
    their parents.
    """
    running = Fleet(folder, settings)
    try:
        yield running
    finally:
        running.kill()


def _close_pipes(parent: subprocess.Popen[str]) -> None:
    if parent.stdout is not None:
        parent.stdout.close()


def _is_worker(process: psutil.Process) -> bool:
    try:
        return WORKER_MODULE in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def _install_pipeline(folder: Path) -> None:
    """Makes the pipeline known to every process with this folder on its path."""
    metadata = folder / f"{NAME}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[reelwork.pipelines]\n{NAME} = tests.chaos.mosaic:pipeline\n")


def now_ms() -> int:
    return time.time_ns() // 1_000_000
