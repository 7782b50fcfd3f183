"""What is measured of each contender: one fan-out, many small ones, small ones beside a big one, one unit twice."""

from __future__ import annotations

import time
from dataclasses import dataclass

from contenders.board import Arrival, Board, NoCompletion
from contenders.producer import Run
from contenders.system import ContenderFailed, Running

RUN_SECONDS_MAX = 600.0
SMALL_UNITS = 20
WARM_UP_UNITS = 200
LISTEN_AFTER_SECONDS = 0.5
POLL_SECONDS = 0.005
REPEAT_SECONDS_MAX = 20.0


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A contender in one way of working. kind, group: as in `Run`."""

    label: str
    contender: Running
    kind: str = ""
    group: int = 1

    @property
    def is_ours(self) -> bool:
        return self.contender.system.is_ours

    @property
    def goal(self) -> float | None:
        """How many times as fast as the best of the others; none for what has many units in a message."""
        return self.contender.system.goals.get(self.kind) if self.group == 1 else None

    def run(self, base: int, units: int, *, has_slow_unit: bool = False) -> Run:
        return self.contender.next_run(
            base, units, has_slow_unit=has_slow_unit, kind=self.kind, group=min(self.group, units)
        )


@dataclass(frozen=True, slots=True)
class FanOut:
    """Seconds of one run. publishing: from the first message to the last; whole: until its completion arrived; delay:
    from the end of its last unit.
    """

    publishing: float
    whole: float
    delay: float


@dataclass(frozen=True, slots=True)
class Twice:
    """What became of a run whose first message was delivered twice, and once more after its completion.

    arrivals: its completions. early_seconds: how long before the end of the last unit the first one came. later: the
    completions that the repeat after the completion brought about.
    """

    units: int
    arrivals: tuple[Arrival, ...]
    early_seconds: float
    later: int


def warm_up(entrant: Entrant) -> None:
    """Every process has worked before anything is measured."""
    fan_out(entrant, WARM_UP_UNITS)


def fan_out(entrant: Entrant, units: int) -> FanOut:
    board = entrant.contender.board
    board.clear()
    run = entrant.run(0, units)
    published = entrant.contender.order("publish", run=run)
    wait(entrant.contender, run)
    completed_at = only_arrival(board, run).at
    return FanOut(
        publishing=published["last"] - published["first"],
        whole=completed_at - published["first"],
        delay=completed_at - last_end(board, run),
    )


def idle_delays(entrant: Entrant, count: int) -> list[float]:
    """Seconds from the last unit to the completion, of small runs of which each waits for the one before."""
    return [fan_out(entrant, SMALL_UNITS).delay for _ in range(count)]


def loaded_delays(entrant: Entrant, *, units: int, count: int, pause_seconds: float) -> list[float]:
    """The same of small runs published while a big one is; of those that completed before it did."""
    board = entrant.contender.board
    board.clear()
    big = entrant.run(0, units)
    small = [entrant.run(units + number * SMALL_UNITS, SMALL_UNITS) for number in range(count)]
    entrant.contender.order("load", runs=[big, *small], pause_seconds=pause_seconds)
    wait(entrant.contender, big, *small)
    end = only_arrival(board, big).at
    arrivals = [(run, only_arrival(board, run).at) for run in small]
    return [at - last_end(board, run) for run, at in arrivals if at < end]


def deliver_twice(entrant: Entrant) -> Twice:
    """Publishes while nobody works, so that the copy lies beside its original; the last unit is slow."""
    contender, board = entrant.contender, entrant.contender.board
    contender.stop_workers()
    board.clear()
    run = entrant.run(0, SMALL_UNITS, has_slow_unit=True)
    contender.order("publish and repeat", run=run)
    contender.start_workers()
    wait(contender, run)
    _all_ended(board, run)
    _fence(entrant, base=SMALL_UNITS)
    arrivals = tuple(board.arrivals(run.number))
    early_seconds = max(0.0, last_end(board, run) - arrivals[0].at)
    contender.order("repeat")
    _fence(entrant, base=2 * SMALL_UNITS)
    return Twice(
        units=run.units,
        arrivals=arrivals,
        early_seconds=early_seconds,
        later=len(board.arrivals(run.number)) - len(arrivals),
    )


def wait(contender: Running, *runs: Run) -> None:
    """Raises ContenderFailed with the last lines of its log."""
    try:
        contender.board.wait([run.number for run in runs], seconds=RUN_SECONDS_MAX)
    except NoCompletion as error:
        raise ContenderFailed(f"{contender.system.name}: {error}; its log ends:\n{contender.log()}") from error


def only_arrival(board: Board, run: Run) -> Arrival:
    """Of a run of which every message was delivered once: the completion is one, and comes after every unit."""
    (arrival,) = board.arrivals(run.number)
    assert arrival.at >= last_end(board, run), "the completion came before the last unit had ended"
    assert arrival.counted in (None, run.units), f"the completion counts {arrival.counted} of {run.units} units"
    return arrival


def last_end(board: Board, run: Run) -> float:
    ends = board.ends(run.base, run.units)
    assert all(ends), f"{ends.count(0.0)} of {run.units} units were never worked on"
    return max(ends)


def _all_ended(board: Board, run: Run) -> None:
    deadline = time.monotonic() + REPEAT_SECONDS_MAX
    while not all(board.ends(run.base, run.units)):
        if time.monotonic() > deadline:
            raise ContenderFailed("a unit of the run with a unit delivered twice never ended")
        time.sleep(POLL_SECONDS)


def _fence(entrant: Entrant, *, base: int) -> None:
    """A run behind everything that was published before; once it has completed, one listens a little longer."""
    run = entrant.run(base, SMALL_UNITS)
    entrant.contender.order("publish", run=run)
    wait(entrant.contender, run)
    deadline = time.monotonic() + LISTEN_AFTER_SECONDS
    while entrant.contender.board.listen(deadline - time.monotonic()):
        pass
