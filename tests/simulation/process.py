"""A simulated operating system process: it can be killed or stalled at any step of any of its tasks.

What is killed takes no further step, so none of its cleanup reaches the world, as with kill -9.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reelwork.broker.memory import MemoryDelivery
    from tests.simulation.history import History

CLOSINGS_MAX = 20
CLOCK_RESOLUTION_SECONDS = 1e-5
CURRENT: ContextVar[Process | None] = ContextVar("simulated process", default=None)


class Killed(BaseException):
    """Raised in code that runs on in a process that is dead."""


class Process:
    """next_strike: gives the number of steps until the next misfortune, and what it is: seconds of a stall, or None for
    a kill. in_hand: what it has of the broker. marked: the assets, as (job id, thing), that it knows to be marked as
    started, since it last touched one. relay: the name under which it asks for the lease of the relay. looks: when it
    last looked what waits of a job, epoch ms, by job id.
    """

    def __init__(self, name: str, *, history: History, next_strike: Callable[[], tuple[int, float | None]]) -> None:
        self.name = name
        self.history = history
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.is_dead = False
        self.is_stopping = False
        self.obstructed = False
        self.stalled_until = 0.0
        self.receiving: list[asyncio.Task[Any]] = []
        self.interrupted: set[asyncio.Task[Any]] = set()
        self.bodies: list[Mortal] = []
        self.in_hand: dict[int, MemoryDelivery] = {}
        self.marked: set[tuple[str, str]] = set()
        self.looks: dict[str, int] = {}
        self.relay = ""
        self._stop: Callable[[], object] = lambda: None
        self._next_strike = next_strike
        self.renew_fortune()

    def renew_fortune(self) -> None:
        self.steps_left, self._stall_seconds = self._next_strike()

    def start(self, main: Coroutine[Any, Any, None], *, stop: Callable[[], object]) -> None:
        self._stop = stop
        context = copy_context()
        context.run(CURRENT.set, self)
        self.main = context.run(self.loop.create_task, main)
        self.main.add_done_callback(self._main_done)

    def _main_done(self, _task: object) -> None:
        if not self.ended.done():
            self.history.note(self.name, "ends")
            self._die()

    def stop(self) -> None:
        """SIGTERM."""
        if self.is_dead or self.is_stopping:
            return
        self.history.note(self.name, "is told to stop")
        self.is_stopping = True
        self._stop()

    def end_receiving(self) -> None:
        """Whatever of it waits for messages comes back without any."""
        for task in self.receiving:
            self.interrupted.add(task)
            task.cancel()

    def kill(self, why: str) -> None:
        if not self.is_dead:
            self.history.note(self.name, f"KILLED {why}")
            self._die()

    def _die(self) -> None:
        self.is_dead = self.obstructed = True
        if not self.ended.done():
            self.ended.set_result(None)

    def stall(self, seconds: float) -> None:
        """Nothing of it moves for so long, while its leases run out."""
        if self.is_dead:
            return
        self.history.note(self.name, f"STALLS for {seconds:.1f} s")
        self.obstructed = True
        self.stalled_until = max(self.stalled_until, self.loop.time() + seconds)
        self.loop.call_at(self.stalled_until, self._wake_up)

    def _wake_up(self) -> None:
        if not self.is_dead and self.loop.time() >= self.stalled_until - CLOCK_RESOLUTION_SECONDS:
            self.obstructed = False

    def strike(self) -> None:
        stall_seconds = self._stall_seconds
        self.renew_fortune()
        if stall_seconds is None:
            self.kill("at a step")
        else:
            self.stall(stall_seconds)

    def check_alive(self) -> None:
        if self.is_dead:
            raise Killed

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def die(self, why: str) -> None:
        """Kills the process of the caller, who never returns."""
        self.kill(why)
        await self.loop.create_future()

    def bury(self) -> None:
        """Ends the coroutines that were left hanging; their cleanup meets faces that let nothing through."""
        self.is_dead = self.obstructed = True
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # what had no time to begin
            for body in self.bodies:
                body.end()


class Mortal(Coroutine[Any, Any, Any]):
    """A coroutine of a process: takes a step only while its process lives and moves."""

    __slots__ = ("_inner", "_process", "_thrown")

    def __init__(self, inner: Coroutine[Any, Any, Any], process: Process) -> None:
        self._inner = inner
        self._process = process
        self._thrown: BaseException | None = None
        process.bodies.append(self)

    def send(self, value: Any) -> Any:
        process = self._process
        process.steps_left -= 1
        if process.steps_left <= 0 and not process.obstructed:
            process.strike()
        if process.obstructed:
            return self._hold()
        if self._thrown is not None:
            error, self._thrown = self._thrown, None
            return self._inner.throw(error)
        return self._inner.send(value)

    def throw(self, error: Any, *_old_style: Any) -> Any:
        if self._process.obstructed:
            self._thrown = error
            return self._hold()
        return self._inner.throw(error)

    def close(self) -> None:
        self._inner.close()

    def end(self) -> None:
        for _ in range(CLOSINGS_MAX):
            try:
                self._inner.close()
                return
            except BaseException:  # its cleanup waits for something: it is closed there again
                continue

    def __await__(self) -> Any:
        raise AssertionError("only a task runs a coroutine of a process")

    def _hold(self) -> Any:
        process = self._process
        wait = process.loop.create_future()
        if not process.is_dead:
            process.loop.call_at(process.stalled_until, lambda: wait.done() or wait.set_result(None))
        wait._asyncio_future_blocking = True
        return wait
