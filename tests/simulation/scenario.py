"""What is asked of a run, drawn from its seed: jobs, the shapes of their stages, what each asset does to its worker,
and what the operator does meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from reelwork.ledger import CompletionPolicy

STAGES = ("a", "b", "c")
SIZES = (0, 1, 1, 2, 3, 4)
SIZES_OF_A_LARGE_RUN = (1, 3, 6, 9)
SHARE_OF_LARGE_RUNS = 0.1  # small ones are many for the same time, and most of what breaks breaks in them
CHAOS_SECONDS = 30.0
MENDABLE = ("flaky", "flaky", "broken", "failing", "killer", "killer", "hanging", "sleepy")
KINDS = (*MENDABLE, "cursed")


@dataclass(frozen=True, slots=True)
class Fate:
    """What handling one thing does.

    kind: fine, flaky (fails `times` times), broken (a permanent error until it is mended), failing (an error until it
    is mended), cursed (a permanent error for ever), killer (kills its worker `times` times, 0 = until it is mended),
    hanging (runs over its timeout `times` times), sleepy (a permanent error, `times` times, after a long sleep in which
    others may do it). seconds: how long a call takes.
    """

    kind: str
    times: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StageShape:
    """names: the assets that are sent, in messages of `per_message`. missing: those that are announced, and sent only
    in the end. announcement: first, last, twice, grown, shrunk, late or never.
    """

    names: tuple[str, ...]
    missing: tuple[str, ...]
    per_message: int
    announcement: str

    @property
    def total(self) -> int:
        return len(self.names) + len(self.missing)


@dataclass(frozen=True, slots=True)
class JobShape:
    number: int
    submitted_at: float
    cancelled_at: float | None
    stages: Mapping[str, StageShape]
    fates: Mapping[str, Fate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Times are virtual seconds since the run began."""

    workers: int
    nodes: int
    prefetch: int
    in_threads: bool
    lease_seconds: float
    sweep_seconds: float
    republish_after_seconds: float
    settle_seconds: float
    handler_timeout_seconds: float
    watermark_max_seconds: float
    policies: Mapping[str, CompletionPolicy]
    jobs: tuple[JobShape, ...]
    interventions: tuple[tuple[float, str], ...]

    @classmethod
    def of(cls, dice: Random) -> Scenario:
        policies = {stage: _policy(dice) for stage in STAGES}
        pace = dice.choice([0.0, 0.0, 0.3, 2.0, 8.0])
        trouble = dice.choice([0.0, 0.1, 0.3])
        is_large = dice.random() < SHARE_OF_LARGE_RUNS
        number_of_jobs = dice.choice([1, 2, 3]) if is_large else dice.choice([1] * 9 + [2])
        sizes = SIZES_OF_A_LARGE_RUN if is_large else SIZES
        return cls(
            workers=dice.choice([1, 1, 2, 2, 2, 3, 4, 5]),
            nodes=dice.choice([1, 1, 1, 2]),
            prefetch=dice.choice([1, 1, 2, 4]),
            in_threads=dice.random() < 0.3,
            lease_seconds=10.0,
            sweep_seconds=dice.choice([5.0, 15.0, 30.0]),
            republish_after_seconds=dice.choice([15.0, 30.0]),
            settle_seconds=dice.choice([0.0, 5.0, 30.0]),
            handler_timeout_seconds=25.0,
            watermark_max_seconds=dice.choice([86_400.0, 86_400.0, 120.0]),
            policies=policies,
            jobs=tuple(_job(number, sizes, policies, pace, trouble, dice) for number in range(number_of_jobs)),
            interventions=tuple(sorted(_intervention(dice) for _ in range(dice.choice([0, 1, 3])))),
        )


def _policy(dice: Random) -> CompletionPolicy:
    threshold, ttl = dice.choice([100, 100, 90, 50, 0]), dice.choice([None, 20.0, 60.0])
    return CompletionPolicy(threshold, ttl, allow_partial=dice.random() < 0.6)


def _job(
    number: int,
    sizes: Sequence[int],
    policies: Mapping[str, CompletionPolicy],
    pace: float,
    trouble: float,
    dice: Random,
) -> JobShape:
    stages = {stage: _stage(sizes, policies[stage], dice) for stage in STAGES}
    things = [f"{stage}/{name}" for stage in STAGES for name in (*stages[stage].names, *stages[stage].missing)]
    things += ["plan", "more", "finish"]
    return JobShape(
        number=number,
        submitted_at=dice.uniform(0, 20) if number else 0.0,
        cancelled_at=dice.uniform(0, 1.5 * CHAOS_SECONDS) if dice.random() < 0.1 else None,
        stages=stages,
        fates={thing: _fate(pace, trouble, dice) for thing in things}
        | {f"heard/{stage}": _fate(pace, trouble, dice, kinds=MENDABLE) for stage in STAGES},
    )


def _stage(sizes: Sequence[int], policy: CompletionPolicy, dice: Random) -> StageShape:
    names = tuple(f"{number:02}" for number in range(dice.choice(sizes)))
    ways = ["first"] * 6 + ["last", "twice", "grown", "shrunk", "late"]
    missing: tuple[str, ...] = ()
    if policy.watermark_ttl_seconds is not None:
        ways.append("never")
        if dice.random() < 0.2:
            missing = tuple(f"{len(names) + number:02}" for number in range(dice.randint(1, 2)))
    way = dice.choice(ways)
    if way == "never" and not (policy.allow_partial and names):
        way = "late"
    return StageShape(names, missing, dice.choice([1, 1, 2, 5]), way)


def _fate(pace: float, trouble: float, dice: Random, *, kinds: tuple[str, ...] = KINDS) -> Fate:
    seconds = dice.uniform(0, pace) if pace and dice.random() < 0.8 else 0.0
    if dice.random() >= trouble:
        return Fate("fine", 0, seconds)
    kind = dice.choice(kinds)
    times = dice.choice([0, 1, 2, 4]) if kind == "killer" else 1 if kind == "sleepy" else dice.randint(1, 5)
    return Fate(kind, times, seconds)


def _intervention(dice: Random) -> tuple[float, str]:
    what = dice.choice(["replay", "replay", "kill", "stop", "stall", "forget", "announce"])
    return dice.uniform(1, CHAOS_SECONDS), what
