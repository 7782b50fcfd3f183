"""When a stage is complete: pure functions of its counters, the time and its policy. No I/O, no state, no clock.

Completion must never be early, never be missing once due, and never depend on how far a counter overshoots:
every comparison is `>=` on integers, or exact decimals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from enum import StrEnum
from typing import Final

from reelwork.settings import Config, clamp_percentage

# The default context would round the product to 28 digits, and so let a stage complete a hair too early.
EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


class Rule(StrEnum):
    """Why a stage completed."""

    ALL = "all"
    SETTLED = "settled"
    THRESHOLD = "threshold"
    WATERMARK = "watermark"


@dataclass(frozen=True, slots=True)
class CompletionPolicy:
    """How complete is complete enough.

    threshold_percentage: any number, kept as an exact decimal clamped to [0, 100]; default
        COMPLETION_THRESHOLD_PERCENTAGE (90).
    watermark_ttl_seconds: seconds without news after which an open stage completes; None = never; default
        WATERMARK_TTL_SECONDS (900).
    allow_partial: False for assets that are all needed; then only rule `all` completes the stage.
    """

    threshold_percentage: Decimal | float | str = field(
        default_factory=lambda: Config().COMPLETION_THRESHOLD_PERCENTAGE
    )
    watermark_ttl_seconds: float | None = field(default_factory=lambda: Config().WATERMARK_TTL_SECONDS)
    allow_partial: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold_percentage", clamp_percentage(self.threshold_percentage))
        ttl_seconds = self.watermark_ttl_seconds
        if ttl_seconds is not None and not (math.isfinite(ttl_seconds) and ttl_seconds >= 0):
            raise ValueError("watermark_ttl_seconds must be a finite number, zero or more, or None")

    @property
    def threshold(self) -> Decimal:
        """The percentage, exact."""
        assert isinstance(self.threshold_percentage, Decimal)
        return self.threshold_percentage

    def watermark_after(self, now_ms: int) -> int | None:
        """The watermark of a stage that had news at `now_ms`, both in epoch milliseconds."""
        if self.watermark_ttl_seconds is None:
            return None
        return now_ms + round(self.watermark_ttl_seconds * 1000)


def threshold_is_met(expected: int, done: int, threshold_percentage: Decimal) -> bool:
    return done * 100 >= EXACT.multiply(threshold_percentage, expected)


def watermark_is_due(watermark_at: int | None, now_ms: int) -> bool:
    return watermark_at is not None and now_ms >= watermark_at


def watermark_has_strayed(watermark_at: int | None, now_ms: int, policy: CompletionPolicy) -> bool:
    """Whether a watermark lies further ahead than news of this very moment would put it: the clock was set back, or
    the time to live was shortened.
    """
    latest = policy.watermark_after(now_ms)
    return watermark_at is not None and latest is not None and watermark_at > latest


def due_rule(
    *, expected: int | None, done: int, failed: int, watermark_at: int | None, now_ms: int, policy: CompletionPolicy
) -> Rule | None:
    """The first rule that holds, whatever the policy says of partial completion; None while the stage must wait."""
    if expected is not None:
        if done >= expected:
            return Rule.ALL
        if done + failed >= expected:
            return Rule.SETTLED
        if policy.allow_partial and threshold_is_met(expected, done, policy.threshold):
            return Rule.THRESHOLD
    if watermark_is_due(watermark_at, now_ms):
        return Rule.WATERMARK
    return None


def fires(rule: Rule | None, policy: CompletionPolicy) -> bool:
    """Whether a due rule completes the stage. If not, a due rule means that the stage has fallen short for good."""
    return rule is not None and (policy.allow_partial or rule is Rule.ALL)


def is_partial(expected: int | None, done: int) -> bool:
    return expected is None or done < expected
