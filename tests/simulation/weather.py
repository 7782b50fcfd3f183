"""Which faults a run has, and how many: every seed has its own mixture, some have none."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from reelwork.broker import Faults

SHARE_OF_CALM_SEEDS = 0.05
SHARE_OF_FAULTS = 0.4
NEVER = 1 << 60
NO_FAULTS = Faults()


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Probabilities are per call. steps_between_strikes: mean steps of a process between two misfortunes."""

    messages: Faults = NO_FAULTS
    broker_refuses: float = 0.0
    broker_unconfirmed: float = 0.0
    acknowledgement_lost: float = 0.0
    database_refuses: float = 0.0
    commit_fails: float = 0.0
    answer_lost: float = 0.0
    commit_late: float = 0.0
    late_seconds_max: float = 0.0
    crash_before: float = 0.0
    crash_after: float = 0.0
    slow: float = 0.0
    slow_seconds_max: float = 0.0
    steps_between_strikes: float = 0.0
    stalls: float = 0.0
    stall_seconds_max: float = 0.0
    leases_handed_on: float = 1.0
    overtaken: float = 0.0

    @property
    def is_steady(self) -> bool:
        """Nothing dies, stalls or fails but what an asset brings about itself."""
        unsteady = (
            self.broker_refuses,
            self.broker_unconfirmed,
            self.acknowledgement_lost,
            self.database_refuses,
            self.commit_fails,
            self.answer_lost,
            self.commit_late,
            self.crash_before,
            self.crash_after,
            self.slow,
            self.steps_between_strikes,
        )
        return not any(unsteady)

    @classmethod
    def of(cls, dice: Random) -> Weather:
        if dice.random() < SHARE_OF_CALM_SEEDS:
            return cls()

        def some(most: float) -> float:
            return dice.uniform(0, most) if dice.random() < SHARE_OF_FAULTS else 0.0

        messages = Faults(
            lose=some(0.3), duplicate=some(0.4), reorder=some(0.5), delay=some(0.3), delay_seconds_max=some(1) * 90
        )
        return cls(
            messages=messages,
            broker_refuses=some(0.1),
            broker_unconfirmed=some(0.1),
            acknowledgement_lost=some(0.2),
            database_refuses=some(0.1),
            commit_fails=some(0.1),
            answer_lost=some(0.1),
            commit_late=some(0.1),
            late_seconds_max=dice.choice([1.0, 15.0, 60.0]),
            crash_before=some(0.05),
            crash_after=some(0.05),
            slow=some(0.3),
            slow_seconds_max=dice.choice([0.05, 1.0, 15.0]),
            steps_between_strikes=dice.choice([40.0, 150.0, 600.0]) if dice.random() < SHARE_OF_FAULTS else 0.0,
            stalls=dice.choice([0.0, 0.5, 1.0]),
            stall_seconds_max=dice.choice([1.0, 15.0, 60.0]),
            leases_handed_on=dice.choice([0.0, 0.5, 1.0]),
            overtaken=some(0.5),
        )


class Sky:
    """The weather of a run as it is now: it clears up once, for good."""

    def __init__(self, weather: Weather, dice: Random) -> None:
        self.weather = weather
        self.dice = dice
        self.is_clear = False

    def clear_up(self) -> None:
        self.weather = Weather()
        self.is_clear = True

    def strikes(self, probability: float) -> bool:
        return probability > 0 and self.dice.random() < probability

    def next_strike(self) -> tuple[int, float | None]:
        mean = self.weather.steps_between_strikes
        if not mean:
            return NEVER, None
        steps = 1 + int(self.dice.expovariate(1 / mean))
        if self.dice.random() < self.weather.stalls:
            return steps, self.dice.uniform(0.1, self.weather.stall_seconds_max)
        return steps, None

    def slowness(self) -> float:
        if not self.strikes(self.weather.slow):
            return 0.0
        return self.dice.uniform(0, self.weather.slow_seconds_max)
