"""A contender as the benchmark holds it: its server, its workers, its consumer and its producer, each a process.

Every process ends with this one, however this one ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contenders.board import Board
from contenders.producer import Run
from contenders.servers import server_url

BENCHMARKS = Path(__file__).resolve().parents[1]
OTHERS = BENCHMARKS.parent / ".venv-bench" / "bin"
WORKERS = 2
BROKERS_OF_OTHERS = (("", "", ("valkey",)), ("-rabbitmq", " on RabbitMQ", ("rabbitmq", "valkey")))
ON_SERVERS = {"coroutine": 5.0, "thread": 5.0}
STOP_SECONDS_MAX = 20.0
LOG_LINES_SHOWN = 20
WITH_ITS_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
os.execv(sys.argv[1], sys.argv[1:])
"""


class ContenderFailed(Exception):
    """A process of a contender did not do what it was asked to."""


@dataclass(frozen=True, kw_only=True)
class System:
    """How a contender is started. python: of its own environment. servers: what it needs, each a server of its own.

    stop: the signal that ends its workers in order. goals: by kind of handler, how many times as fast as the best of
    the others it is to be; only ours have any.
    """

    name: str
    label: str
    python: Path
    producer: str
    workers: Sequence[Sequence[str]]
    servers: Sequence[str]
    stop: signal.Signals = signal.SIGTERM
    goals: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        return self.name.startswith("reelwork")


def others() -> list[System]:
    """Celery, Dramatiq and Huey as their documentation starts them, with two processes.

    The callbacks of Celery and Dramatiq have a queue and a process of their own, as Reelwork's consumer has. Both keep
    their results on Valkey also where RabbitMQ carries their messages: a chord or a group needs such a store.
    """
    celery = (str(OTHERS / "celery"), "-A", "contenders.celery_app", "worker", "--loglevel", "WARNING")
    dramatiq = (str(OTHERS / "dramatiq"), "contenders.dramatiq_app")
    huey = (str(OTHERS / "huey_consumer"), "contenders.huey_app.huey", "--quiet")
    return [
        *(
            System(
                name=f"celery{suffix}",
                label=f"Celery chord{on}",
                python=OTHERS / "python",
                producer="contenders.celery_app",
                workers=(
                    (*celery, "--concurrency", str(WORKERS), "--queues", "celery", "--hostname", "units@%h"),
                    (*celery, "--pool", "solo", "--queues", "completions", "--hostname", "completions@%h"),
                ),
                servers=servers,
            )
            for suffix, on, servers in BROKERS_OF_OTHERS
        ),
        *(
            System(
                name=f"dramatiq{suffix}",
                label=f"Dramatiq group{on}",
                python=OTHERS / "python",
                producer="contenders.dramatiq_app",
                workers=(
                    (*dramatiq, "--processes", str(WORKERS), "--queues", "default"),
                    (*dramatiq, "--processes", "1", "--threads", "1", "--queues", "completions"),
                ),
                servers=servers,
            )
            for suffix, on, servers in BROKERS_OF_OTHERS
        ),
        System(
            name="huey",
            label="Huey chord",
            python=OTHERS / "python",
            producer="contenders.huey_app",
            workers=((*huey, "--worker-type", "process", "--workers", str(WORKERS)),),
            servers=("valkey",),
            stop=signal.SIGINT,
        ),
    ]


def reelwork() -> list[System]:
    """Two worker processes, and the consumer of the completion in a third; by default, and on servers."""
    worker = (sys.executable, "-c", "from reelwork.cli import main; main()", "worker")
    return [
        System(
            name=f"reelwork{suffix}",
            label=f"Reelwork{on}",
            python=Path(sys.executable),
            producer="contenders.reelwork_producer",
            workers=(
                (*worker, "--concurrency", str(WORKERS), "fan-in-jobs", "fan-in-coroutine", "fan-in-thread"),
                (*worker, "--concurrency", "1", "fan-in-end"),
            ),
            servers=servers,
            goals=goals,
        )
        for suffix, on, servers, goals in (
            ("", "", (), {"coroutine": 20.0, "thread": 8.0}),
            ("-postgresql", " on PostgreSQL", ("postgresql",), {}),
            ("-redis", " on Redis + PostgreSQL", ("postgresql", "valkey"), ON_SERVERS),
            ("-rabbitmq", " on RabbitMQ + PostgreSQL", ("postgresql", "rabbitmq"), ON_SERVERS),
        )
    ]


@dataclass(kw_only=True)
class Running:
    """A contender that runs."""

    system: System
    board: Board
    folder: Path
    environment: Mapping[str, str]
    runs: int = 0
    _producer: subprocess.Popen[str] = field(init=False)
    _workers: list[subprocess.Popen[str]] = field(default_factory=list, init=False)

    def start_producer(self, stack: ExitStack) -> None:
        command = [str(self.system.python), "-m", "contenders.producer", self.system.producer]
        self._producer = self._start(command)
        stack.callback(stop, self._producer, signal.SIGTERM)
        self._answer()

    def start_workers(self) -> None:
        self._workers = [self._start(command) for command in self.system.workers]

    def stop_workers(self) -> None:
        for process in self._workers:
            signal_group_leader(process, self.system.stop)
        for process in self._workers:
            stop(process, self.system.stop)
        self._workers = []

    def next_run(self, base: int, units: int, **choices: Any) -> Run:
        self.runs += 1
        return Run(number=self.runs, base=base, units=units, **choices)

    def order(self, do: str, **order: Any) -> Any:
        """Has the producer do something, and returns what it answers."""
        assert self._producer.stdin is not None
        self._producer.stdin.write(json.dumps({"do": do, **order}, default=asdict) + "\n")
        self._producer.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._producer.stdout is not None
        line = self._producer.stdout.readline()
        if not line:
            raise ContenderFailed(f"the producer of {self.system.name} ended:\n{self.log()}")
        return json.loads(line)

    def log(self) -> str:
        """The last lines of what its processes wrote."""
        lines = self._log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    @property
    def _log_file(self) -> Path:
        return self.folder / "log.txt"

    def _start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        return start(command, folder=self.folder, environment=self.environment, log=self._log_file)


@contextmanager
def running(system: System, board: Board, parent: Path) -> Iterator[Running]:
    """Starts all of a contender; afterwards nothing of it runs."""
    folder = parent / system.name
    folder.mkdir()
    with ExitStack() as stack:
        environment = dict(board.environment)
        urls = {name: stack.enter_context(server_url(name, folder)) for name in system.servers}
        if system.is_ours:
            environment |= install_pipeline(folder) | settings_of(urls)
        else:
            environment |= {f"FAN_IN_{name.upper()}": url for name, url in urls.items()}
        contender = Running(system=system, board=board, folder=folder, environment=environment)
        contender.start_producer(stack)
        stack.callback(contender.stop_workers)
        contender.start_workers()
        yield contender


def install_pipeline(folder: Path) -> dict[str, str]:
    """Puts the benchmark's pipeline under its entry point, as an installed package has it; settings of its own."""
    metadata = folder / "packages" / "fan_in-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: fan-in\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[reelwork.pipelines]\nfan-in = contenders.reelwork_pipeline:pipeline\n")
    return {
        "PYTHONPATH": f"{metadata.parent}{os.pathsep}{BENCHMARKS}",
        "REELWORK_DATA_DIR": str(folder / "data"),
        "REELWORK_LOG_LEVEL": "warning",
    }


def settings_of(urls: Mapping[str, str]) -> dict[str, str]:
    """How Reelwork is told of its servers; by default it has none."""
    settings = {"REELWORK_DATABASE_URL": urls.get("postgresql")}
    settings["REELWORK_BROKER_URL"] = urls.get("valkey", urls.get("rabbitmq"))
    return {name: url for name, url in settings.items() if url is not None}


def start(command: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
    """In a process group of its own: Ctrl-C reaches the benchmark alone, which then ends everything in order."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("REELWORK_")}
    with log.open("a") as file:
        return subprocess.Popen(
            [sys.executable, "-c", WITH_ITS_PARENT, *command],
            cwd=folder,
            env={**own, "PYTHONPATH": str(BENCHMARKS), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if command[1] == "-m" else file,
            stderr=file,
            text=True,
            process_group=0,
        )


def signal_group_leader(process: subprocess.Popen[str], number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)


def stop(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Ends it in order; what is left of its group after its time is killed."""
    if process.stdin is not None:
        process.stdin.close()
    signal_group_leader(process, number)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdout is not None:
            process.stdout.close()
