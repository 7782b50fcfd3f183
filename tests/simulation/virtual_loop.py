"""An event loop whose time is virtual: when nothing is ready it is the time of the next timer. It never waits, and
never looks at anything outside, so the order of events is a function of what is put into it.
"""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any

from tests.simulation.history import Violation
from tests.simulation.process import CURRENT, Mortal


class OrderedTask(asyncio.Task[Any]):
    """Sets of tasks are iterated by the order of their making, not by their addresses."""

    def __new__(cls, *_arguments: Any, loop: VirtualLoop, **_keywords: Any) -> OrderedTask:
        self = super().__new__(cls)
        self.number = loop.next_number()
        return self

    def __hash__(self) -> int:
        return self.number


class VirtualThread(Executor, ABC):
    """A thread of a simulated process: says itself when a call runs and when its result arrives."""

    @abstractmethod
    def call(
        self, loop: VirtualLoop, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> asyncio.Future[Any]: ...


class VirtualLoop(asyncio.BaseEventLoop):
    """turns_max: a run that takes more turns of the loop is stuck."""

    def __init__(self, *, turns_max: int) -> None:
        super().__init__()
        self._now = 0.0
        self._turns_left = turns_max
        self._failure: Violation | None = None
        self._clock_resolution = 1e-6  # two timers closer than this go off together
        self._selector = self
        self._numbers = itertools.count(1)
        self.set_task_factory(_make_task)
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        return self._now

    def fail(self, violation: Violation) -> None:
        """Ends the run at the end of this turn."""
        self._failure = self._failure or violation

    def next_number(self) -> int:
        return next(self._numbers)

    def select(self, timeout: float | None) -> tuple[()]:
        if self._failure is not None:
            raise self._failure
        self._turns_left -= 1
        if self._turns_left < 0:
            raise Violation("stuck: the run has no end")
        if timeout is None:
            raise Violation("stuck: nothing is left that could happen")
        if timeout > 0:
            self._now += timeout
        return ()

    def run_in_executor(self, executor: Any, function: Any, *arguments: Any) -> Any:
        assert isinstance(executor, VirtualThread)
        return executor.call(self, function, arguments)

    def _process_events(self, _events: object) -> None: ...

    def _write_to_self(self) -> None: ...


def _make_task(loop: Any, coroutine: Coroutine[Any, Any, Any], **keywords: Any) -> OrderedTask:
    process = CURRENT.get()
    task = OrderedTask(coroutine if process is None else Mortal(coroutine, process), loop=loop, **keywords)
    task._log_destroy_pending = False
    return task
