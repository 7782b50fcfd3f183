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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from tests.chaos.diary import ADDRESS, MACHINE
from tests.chaos.mosaic import NAME, POISON
from tests.e2e.commands import start
from tests.proxy import LOOPBACK, Link

MARK: Final = "REELWORK_CHAOS_FLEET"
WORKER_MODULE: Final = "reelwork.runtime.process"
REPOSITORY: Final = Path(__file__).parents[2]
LEASE_SECONDS: Final = 3.0
DRAIN_SECONDS: Final = 2.0
STOP_SECONDS_MAX: Final = 60.0
EXCUSES: Final = ("does not answer", "set the clock of this machine right")
"""Of a parent that cannot start as things are."""
READY_TRIES_MAX: Final = 5
READY: Final = '"workers"'
"""Is in the line that tells that a parent is ready, and in no other."""
LAST_WORDS: Final = 2_000
SETTINGS: Final = {
    "REELWORK_LEASE_SECONDS": str(LEASE_SECONDS),
    "REELWORK_DRAIN_SECONDS": str(DRAIN_SECONDS),
    "REELWORK_SWEEP_SECONDS": "0.5",
    "REELWORK_LOG_LEVEL": "warning",
}


@dataclass(frozen=True, kw_only=True)
class Post:
    """Where a parent runs, and what it is told. workers: how many it keeps. prefix: a command that becomes the one
    behind it, on that machine. way_in: from the tests to a port of its loopback; None where that is the tests' own.
    """

    machine: str
    data: Path
    workers: int
    settings: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    way_in: Callable[[int], Link] | None = None


@dataclass(frozen=True, kw_only=True)
class Blow:
    """at, over_at: epoch ms of its begin and end. pids: the processes killed with SIGKILL; none where something else
    was done, which the machines have felt that are named.
    """

    name: str
    at: int
    pids: frozenset[int] = frozenset()
    over_at: int = 0
    machines: frozenset[str] = frozenset()


class Fleet:
    """The first post holds the API, a relay, a sweeper and perhaps workers; each other one workers, with another relay
    and another sweeper.
    """

    def __init__(self, folder: Path, posts: Sequence[Post]) -> None:
        self.folder = folder
        self.poison = folder / "poison"
        self.machines = tuple(dict.fromkeys(post.machine for post in posts))
        self.working_machines = frozenset(post.machine for post in posts if post.workers)
        self.refused_starts = 0
        self._posts = posts
        self._log_of: dict[int, Path] = {}
        self._told_by: dict[int, str] = {}
        self._port = 0
        _install_pipeline(folder / "installed")
        self._parents = [self._start(0)]
        assert self._tells_that_it_is_ready(self.server), self.log()
        told: str = json.loads(self._told_by[self.server.pid])["url"]
        self._port = int(told.rpartition(":")[2])
        self.url = told if posts[0].way_in is None else f"http://{LOOPBACK}:{posts[0].way_in(self._port).port}"
        self._parents += [self._start(number) for number in range(1, len(posts))]

    @property
    def server(self) -> subprocess.Popen[str]:
        return self._parents[0]

    @property
    def besides(self) -> Sequence[subprocess.Popen[str]]:
        return self._parents[1:]

    def workers(self) -> list[psutil.Process]:
        """Every worker process alive, also those whose parent is gone."""
        return [process for process in self.processes() if _is_worker(process)]

    def processes(self, machine: str | None = None) -> list[psutil.Process]:
        """Whatever this fleet has started and still runs, in whatever depth, on one machine or on all."""
        return [process for process in psutil.process_iter() if self._is_ours(process, machine)]

    def replace_parents(self, blows: Iterable[Blow]) -> None:
        """Starts those anew that were killed, and does not wait until they are ready. Others must live, but for one
        that was to start without one of its servers: it says so and ends, and whoever keeps it starts it again.
        """
        killed = {pid for blow in blows for pid in blow.pids}
        for number, parent in enumerate(self._parents):
            if self._has_ended(parent, killed):
                self._parents[number] = self._start(number)

    def wait_until_ready(self) -> None:
        """Until all parents have told that they are ready; started again where they refuse."""
        for _ in range(READY_TRIES_MAX):
            self.replace_parents([])
            if all(self._tells_that_it_is_ready(parent) for parent in self._parents):
                return
        raise AssertionError(self.log())

    def _tells_that_it_is_ready(self, parent: subprocess.Popen[str]) -> bool:
        """False when it ends instead."""
        if parent.pid not in self._told_by:
            assert parent.stdout is not None
            self._told_by[parent.pid] = parent.stdout.readline()
        if READY in self._told_by[parent.pid]:
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
            assert any(excuse in told[1] for excuse in EXCUSES), told
            self.refused_starts += 1
        _close_pipes(parent)
        return True

    def _last_words(self, parent: subprocess.Popen[str]) -> str:
        assert parent.stdout is not None
        told = self._told_by.get(parent.pid, "") + parent.stdout.read()
        return told + self._log_of[parent.pid].read_text()[-LAST_WORDS:]

    def stop(self) -> list[int]:
        """Exit statuses of all parents, stopped in order."""
        for parent in self._parents:
            parent.send_signal(signal.SIGTERM)
        return [parent.wait(STOP_SECONDS_MAX) for parent in self._parents]

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
        for parent in self._parents:
            parent.wait(STOP_SECONDS_MAX)
            _close_pipes(parent)

    def _start(self, number: int) -> subprocess.Popen[str]:
        post = self._posts[number]
        serve = ["serve", "--port", str(self._port), "--workers", str(post.workers)]
        command = ["worker", "--concurrency", str(post.workers)] if number else serve
        path = self.folder / f"log-{len(self._log_of):03}"
        with path.open("w") as log:
            process = start(
                *command,
                "--data",
                post.data,
                "--json",
                environment=self._environment(post),
                stderr=log.fileno(),
                prefix=post.prefix,
            )
        self._log_of[process.pid] = path
        return process

    def _environment(self, post: Post) -> dict[str, str]:
        return {
            **SETTINGS,
            **post.settings,
            MARK: str(self.folder),
            MACHINE: post.machine,
            ADDRESS: str(self.folder / "diary"),
            POISON: str(self.poison),
            "PYTHONPATH": f"{self.folder / 'installed'}{os.pathsep}{REPOSITORY}",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def _is_ours(self, process: psutil.Process, machine: str | None) -> bool:
        try:
            told = process.environ()
            is_alive = process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return is_alive and told.get(MARK) == str(self.folder) and machine in (None, told.get(MACHINE))


@contextlib.contextmanager
def fleet(folder: Path, posts: Sequence[Post]) -> Iterator[Fleet]:
    """None of its processes is left at the end, nor when this process is killed: parents die with it, and workers with
    their parents.
    """
    running = Fleet(folder, posts)
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
