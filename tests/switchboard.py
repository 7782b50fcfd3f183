"""Worker processes that ring their test up: every call of a handler waits until the test says what it is to do."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

import pytest

from reelwork.runtime import Context
from tests.house import Event, ItemsReady, pipeline_of, plain_service, stage_service

ADDRESS = "REELWORK_TEST_ADDRESS"
CALL_SECONDS_MAX = 20.0
REPOSITORY = Path(__file__).parents[1]
MODULE = "from tests.switchboard import pipeline_here\npipeline = pipeline_here()\n"


def ring(name: str) -> None:
    """In a worker process: asks the test what to do."""
    with Client(os.environ[ADDRESS], family="AF_UNIX") as line:
        line.send((name, os.getpid()))
        if line.recv() == "die":
            os._exit(9)


def plan(_event: Event, context: Context) -> None:
    ring("plan")
    context.start_job()


def work(_event: ItemsReady, context: Context) -> None:
    assert context.asset is not None
    ring(context.asset.asset_id)


def pipeline_here() -> object:
    return pipeline_of(plain_service(plan), stage_service(work, prefetch=2))


@dataclass(frozen=True)
class Call:
    name: str
    pid: int
    line: Connection

    def answer(self, word: str = "go on") -> None:
        self.line.send(word)
        self.line.close()


class Switchboard:
    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._calls: queue.Queue[Call] = queue.Queue()
        self._open: list[Connection] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                line = self._listener.accept()
                self._open.append(line)
                self._calls.put(Call(*line.recv(), line))
            except EOFError:
                continue
            except OSError:
                return

    def next_call(self) -> Call:
        return self._calls.get(timeout=CALL_SECONDS_MAX)

    def __iter__(self) -> Iterator[Call]:
        while True:
            yield self._calls.get()

    def calls(self, count: int) -> dict[str, Call]:
        return {call.name: call for call in (self.next_call() for _ in range(count))}

    def hang_up(self) -> None:
        self._listener.close()
        for line in self._open:
            line.close()


@contextmanager
def listening(address: Path) -> Iterator[Switchboard]:
    board = Switchboard(Listener(str(address), family="AF_UNIX", backlog=16))
    try:
        yield board
    finally:
        board.hang_up()


@contextmanager
def switchboard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switchboard]:
    """Installs the pipeline in a folder that every child process of this one knows."""
    (folder / "rung_up.py").write_text(MODULE)
    metadata = folder / "rung_up-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rung-up\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[reelwork.pipelines]\ntiny = rung_up:pipeline\n")
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{REPOSITORY}")
    monkeypatch.setenv(ADDRESS, str(folder / "line"))
    with listening(folder / "line") as board:
        yield board
