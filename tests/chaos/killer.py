"""Deals blows to a fleet, each at a random moment of its work; one seed deals the same blows in the same order.

It hits only what the fleet itself has started, and it waits for work to be done, never for time to pass.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final

import psutil

from tests.chaos import mosaic
from tests.chaos.diary import Diary
from tests.chaos.fleet import LEASE_SECONDS, Blow, Fleet, now_ms
from tests.chaos.stores import Store

CALLS_BETWEEN_MAX: Final = 40
CALLS_SECONDS_MAX: Final = 20.0
SIGNAL_SECONDS: Final = 0.001
MOMENT_SECONDS_MAX: Final = 0.03
BIRTH_SECONDS_MAX: Final = 2.0
CATCH_SECONDS_MAX: Final = 5.0
STALL_SECONDS_MAX: Final = 2 * LEASE_SECONDS
STALLED_COMMIT_CALLS: Final = 5
STALLED_COMMIT_SECONDS: Final = 1.0


class Killer:
    """`blows` holds what it has dealt."""

    def __init__(self, fleet: Fleet, store: Store, diary: Diary, dice: Random) -> None:
        self._fleet = fleet
        self._store = store
        self._diary = diary
        self._dice = dice
        self.blows: list[Blow] = []

    @property
    def kills(self) -> int:
        """Blows that killed; a whole machine counts as one."""
        return sum(bool(blow.pids) for blow in self.blows)

    @property
    def strikes(self) -> int:
        """Blows that killed no process of the fleet, but were dealt to what it stands on."""
        return sum(blow.name in self._store.strikes for blow in self.blows)

    def deal(self, kills: int) -> None:
        """At least so many kills, and every strike of the store as often as it says."""
        owed = sum(strike.times for strike in self._store.strikes.values())
        for name in self._deck(kills):
            if self.kills >= kills and self.strikes >= owed:
                self._fleet.wait_until_ready()
                return
            self._wait_for_calls(self._dice.randint(1, CALLS_BETWEEN_MAX), seconds_max=CALLS_SECONDS_MAX)
            time.sleep(self._dice.uniform(0, MOMENT_SECONDS_MAX))  # so that it can hit any step of the work
            blows = self._blow(name)
            self._fleet.replace_parents(blows)
            self.blows += blows

    def _wait_for_calls(self, count: int, *, seconds_max: float) -> None:
        for _ in itertools.islice(self._diary.follow(seconds_max=seconds_max), count):
            pass

    def _deck(self, kills: int) -> Iterator[str]:
        """Everything as often as it must be, between kills; then workers more often than the rest."""
        strikes = self._store.strikes
        every = [*self._of_processes, *(name for name, strike in strikes.items() if strike.again)]
        weights = [5 if name == "worker" else 1 for name in every]
        owed = [name for name, strike in strikes.items() for _ in range(strike.times)]
        first = [*self._of_processes, *owed, *["worker"] * (2 * kills // 3 - 1)]
        shuffled = self._dice.sample(first, len(first))
        return itertools.chain(shuffled, (self._dice.choices(every, weights)[0] for _ in itertools.count()))

    def _blow(self, name: str) -> list[Blow]:
        return self._strike(name) if name in self._store.strikes else self._of_processes[name]()

    @property
    def _of_processes(self) -> Mapping[str, Callable[[], list[Blow]]]:
        blows = {
            "worker": self._kill_worker,
            "consumer of a completion": self._kill_consumer,
            "server": self._kill_server,
            "parent of workers": self._kill_beside,
            "whole machine": self._kill_machine,
            "server at its start": self._kill_newborn,
            "stalled worker": self._stall,
        }
        if self._store.watch is None:
            return blows
        return {**blows, "commit": self._kill_writer, "stalled commit": self._stall_writer}

    def _kill_worker(self) -> list[Blow]:
        workers = self._fleet.workers()
        return [self._kill("worker", self._dice.choice(workers))] if workers else []

    def _kill_server(self, name: str = "server") -> list[Blow]:
        """The API, a relay, a sweeper and the keeper of two workers at once."""
        return [self._kill(name, psutil.Process(self._fleet.server.pid))]

    def _kill_beside(self) -> list[Blow]:
        """Another relay, another sweeper and the keeper of two workers."""
        victim = self._dice.choice(self._fleet.besides)
        return [self._kill("parent of workers", psutil.Process(victim.pid))]

    def _kill_machine(self) -> list[Blow]:
        """All at once: nobody is left on it to hand on what they held."""
        machine = self._dice.choice(self._fleet.machines)
        return [self._kill("whole machine", *self._fleet.processes(machine))]

    def _kill_newborn(self) -> list[Blow]:
        """Twice in a row, the second time before it is ready or just when it is."""
        first = self._kill_server()
        self._fleet.replace_parents(first)
        time.sleep(self._dice.uniform(0, BIRTH_SECONDS_MAX))
        return [*first, *self._kill_server("server at its start")]

    def _stall(self) -> list[Blow]:
        """The worker that began something last sleeps until somebody else has it, and then goes on as if nothing had
        happened.
        """
        workers = {worker.pid: worker for worker in self._fleet.workers()}
        at_work = [call.pid for call in self._diary.calls() if call.pid in workers]
        if not at_work:
            return []
        victim, blow = workers[at_work[-1]], Blow(name="stalled worker", at=now_ms())
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.suspend()
            self._wait_for_its_heir(victim.pid)
            victim.resume()
        return [blow]

    def _wait_for_its_heir(self, pid: int) -> None:
        begun = {call.work for call in self._diary.calls()[-CALLS_BETWEEN_MAX:] if call.pid == pid}
        any(call.work in begun for call in self._diary.follow(seconds_max=STALL_SECONDS_MAX))

    def _kill_consumer(self) -> list[Blow]:
        """In the middle of what it does because a stage has completed."""
        workers = {worker.pid: worker for worker in self._fleet.workers()}
        for call in self._diary.follow(seconds_max=CALLS_SECONDS_MAX):
            if call.what in mosaic.COMPLETIONS and call.pid in workers:
                return [self._kill("consumer of a completion", workers[call.pid])]
        return []

    def _kill_writer(self) -> list[Blow]:
        """In the middle of a commit: it holds the lock that all others wait for."""
        victim = self._catch_writer()
        return [self._kill("commit", victim)] if victim else []

    def _stall_writer(self) -> list[Blow]:
        """It sleeps in the middle of a commit: others may finish what they have at hand, and no more."""
        victim = self._catch_writer()
        if victim is None:
            return []
        blow = Blow(name="stalled commit", at=now_ms())
        self._wait_for_calls(STALLED_COMMIT_CALLS, seconds_max=STALLED_COMMIT_SECONDS)
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.resume()
        return [blow]

    def _catch_writer(self) -> psutil.Process | None:
        """Stopped in the middle of a commit, with its locks in its hands; None where nobody could be caught."""
        ours = {process.pid: process for process in self._fleet.processes()}
        deadline = time.monotonic() + CATCH_SECONDS_MAX
        assert self._store.watch is not None
        with self._store.watch() as writer, contextlib.suppress(psutil.NoSuchProcess):
            while time.monotonic() < deadline:
                victim = ours.get(writer() or 0)
                if victim is not None:
                    victim.suspend()
                    wait_for(victim, psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
                    if writer() == victim.pid:
                        return victim
                    victim.resume()
        return None

    def _strike(self, name: str) -> list[Blow]:
        strike, at = self._store.strikes[name], now_ms()
        strike.deal()
        machines = frozenset(strike.machines or self._fleet.working_machines)
        return [Blow(name=name, at=at, over_at=now_ms(), machines=machines)]

    def _kill(self, name: str, *victims: psutil.Process) -> Blow:
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        for victim in victims:
            wait_for(victim, psutil.STATUS_ZOMBIE)
        return Blow(name=name, at=now_ms(), pids=frozenset(victim.pid for victim in victims))


def wait_for(victim: psutil.Process, *states: str) -> None:
    """Until the kernel has done to it what a signal asked for, or it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        while victim.status() not in states:
            time.sleep(SIGNAL_SECONDS)
