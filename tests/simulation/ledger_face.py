"""The ledger as one simulated process sees it: it may refuse, fail, be slow, answer nothing, or be the last thing the
process ever asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from reelwork.errors import StoreUnavailable
from reelwork.ledger import Completion, Work
from reelwork.ledger.base import Ledger
from tests.simulation.checker import Checker
from tests.simulation.marks import marked
from tests.simulation.process import Killed, Process
from tests.simulation.store import Store
from tests.simulation.virtual_loop import VirtualLoop, VirtualThread
from tests.simulation.weather import Sky

WRITES = frozenset({"mark_published", "mark_finished", "mark_swept", "take_lease"})


class LedgerFace:
    """Stands where the runtime expects a `Ledger`; everything that is not refused reaches the real one.

    overtake: lets another conductor advance a job.
    """

    def __init__(
        self, store: Store, process: Process, *, sky: Sky, checker: Checker, overtake: Callable[[str], None]
    ) -> None:
        self._store = store
        self._ledger = store.open()
        self._process = process
        self._sky = sky
        self._checker = checker
        self._overtake = overtake

    def __getattr__(self, name: str) -> Any:
        target = getattr(self._ledger, name)
        if not callable(target) or name in ("now_ms", "clock"):
            return target
        face = self._writing(name, target) if name in WRITES else self._reading(name, target)
        self.__dict__[name] = face
        return face

    def _reading(self, name: str, target: Callable[..., Any]) -> Callable[..., Any]:
        def read(*arguments: Any, **keywords: Any) -> Any:
            self._process.check_alive()
            if self._sky.strikes(self._sky.weather.database_refuses):
                self._refuse(name)
            return target(*arguments, **keywords)

        return read

    def _writing(self, name: str, target: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **keywords: Any) -> Any:
            self._before(name)
            self._process.relay = keywords.get("owner") or self._process.relay
            result = target(*arguments, **keywords)
            self._after(name)
            return result

        return write

    def commit(self, work: Work) -> list[Completion]:
        """What the conductor calls, after it has looked: somebody else may have been faster."""
        if self._sky.strikes(self._sky.weather.overtaken):
            for move in work.moves:
                self._overtake(move.job_id)
        (result,) = self.commit_all([work])
        if isinstance(result, Exception):
            raise result
        return result

    def commit_all(self, works: Sequence[Work]) -> list[list[Completion] | Exception]:
        try:
            self._before("commit")
        except StoreUnavailable as error:
            return [error] * len(works)
        if self._sky.strikes(self._sky.weather.commit_late):
            return self._commit_late(works)
        results = self._commit(works, self._process.looks, self._ledger)
        try:
            self._after("commit")
        except StoreUnavailable as error:
            return [error] * len(works)
        self._process.marked.update(marked(works, results))
        return results

    def _commit(
        self, works: Sequence[Work], looks: Mapping[str, int], ledger: Ledger
    ) -> list[list[Completion] | Exception]:
        self._store.has_failed, self._store.may_be_met = False, True
        results = ledger.commit_all(works)
        self._store.may_be_met = False
        if self._store.has_failed:
            self._checker.check_recorded(works, results)
        self._checker.after_commit(self._process.name, works, results, looks=looks)
        return results

    def _commit_late(self, works: Sequence[Work]) -> list[list[Completion] | Exception]:
        """The connection breaks while the commit is on its way: nobody hears of it, and later it takes effect."""
        seconds = self._sky.dice.uniform(0, self._sky.weather.late_seconds_max)
        self._process.history.note(self._process.name, f"commit: on its way for {seconds:.1f} s, its answer is lost")
        commit = partial(self._commit, works, dict(self._process.looks), self._store.open())
        self._process.loop.call_later(seconds, self._store.late(commit))
        return [StoreUnavailable("the connection was lost at the commit")] * len(works)

    def _before(self, name: str) -> None:
        self._process.check_alive()
        weather = self._sky.weather
        if self._sky.strikes(weather.database_refuses):
            self._refuse(name)
        if self._sky.strikes(weather.crash_before):
            self._crash(f"before {name}")

    def _after(self, name: str) -> None:
        weather = self._sky.weather
        if self._sky.strikes(weather.crash_after):
            self._crash(f"after {name}")
        if self._sky.strikes(weather.answer_lost):
            self._process.history.note(self._process.name, f"{name}: its answer is lost")
            raise StoreUnavailable("the connection was lost at the commit")

    def _refuse(self, name: str) -> None:
        self._process.history.note(self._process.name, f"{name}: the database does not answer")
        raise StoreUnavailable("the database does not answer")

    def _crash(self, when: str) -> None:
        self._process.kill(when)
        raise Killed


class LedgerThread(VirtualThread):
    """The one thread of a process that calls the ledger: one call at a time, some of them slow."""

    def __init__(self, process: Process, sky: Sky) -> None:
        self._process = process
        self._sky = sky
        self._calls: deque[tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]] = deque()
        self._is_busy = False
        self._waiting: tuple[VirtualLoop, Context] | None = None

    @property
    def is_ready(self) -> bool:
        """A call waits for its turn, and the process moves."""
        return self._waiting is not None and not self._process.obstructed

    def hurry(self) -> None:
        """Has the call that waits now."""
        if self._waiting is not None:
            loop, context = self._waiting
            context.run(self._run, loop)

    def call(self, loop: VirtualLoop, function: Callable[..., Any], arguments: tuple[Any, ...]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = loop.create_future()
        self._calls.append((future, function, arguments))
        if not self._is_busy:
            self._is_busy = True
            self._run_later(loop)
        return future

    def _run_later(self, loop: VirtualLoop) -> None:
        self._waiting = (loop, copy_context())
        self._later(loop, self._run)

    def _later(self, loop: VirtualLoop, step: Callable[..., None], *arguments: Any) -> None:
        seconds = self._sky.slowness()
        if seconds:
            loop.call_later(seconds, step, loop, *arguments)
        else:
            loop.call_soon(step, loop, *arguments)

    def _run(self, loop: VirtualLoop) -> None:
        process = self._process
        if process.is_dead or self._waiting is None:
            return
        if process.obstructed:
            loop.call_at(process.stalled_until, self._run, loop)
            return
        self._waiting = None
        future, function, arguments = self._calls.popleft()
        try:
            result, error = function(*arguments), None
        except Killed:
            return
        except Exception as raised:
            result, error = None, raised
        self._later(loop, self._answer, future, result, error)

    def _answer(self, loop: VirtualLoop, future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
        if not future.done():
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        if self._calls:
            self._run_later(loop)
        else:
            self._is_busy = False
