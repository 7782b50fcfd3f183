"""The rules of completion against a second, slow and obvious statement of them in fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reelwork.ledger.rules import (
    CompletionPolicy,
    Rule,
    due_rule,
    fires,
    is_partial,
    watermark_has_strayed,
    watermark_is_due,
)
from reelwork.settings import Config

COUNTS = st.integers(0, 40) | st.integers(0, 10**12)
PERCENTAGES = st.one_of(
    st.sampled_from([Decimal(0), Decimal(100), Decimal("99.9"), Decimal("33.3"), Decimal("66.666666666666666667")]),
    st.decimals(0, 100, places=3),
    st.decimals(0, 100, places=45),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9),  # and out of range
)
TIMES_MS = st.integers(0, 5_000)
EXPECTED_MAX = 30
ENUMERATED_PERCENTAGES = [
    *("-1", "0", "0.01", "1", "3.3", "3.4", "10", "33.3", "33.33333333333333", "33.4", "50", "66.6", "66.7"),
    *("75", "89.99", "90", "90.01", "96.6", "96.7", "99", "99.99", "100", "100.01", "1000"),
]


def clamped(threshold: Decimal) -> Fraction:
    """A percentage beyond its ends means its ends."""
    return min(max(Fraction(threshold), Fraction(0)), Fraction(100))


def rules_that_hold(
    *,
    expected: int | None,
    done: int,
    failed: int,
    watermark_at: int | None,
    now_ms: int,
    threshold: Fraction,
    allow_partial: bool,
) -> list[str]:
    """Section 3 of the design, sentence by sentence."""
    holding = []
    if expected is not None:
        if done >= expected:
            holding.append("all")
        if done + failed >= expected:
            holding.append("settled")
        if allow_partial and Fraction(done) >= Fraction(expected) * threshold / 100:
            holding.append("threshold")
    if watermark_at is not None and now_ms >= watermark_at:
        holding.append("watermark")
    return holding


@given(
    expected=st.none() | COUNTS,
    done=COUNTS,
    failed=COUNTS,
    watermark_at=st.none() | TIMES_MS,
    now_ms=TIMES_MS,
    threshold=PERCENTAGES,
    allow_partial=st.booleans(),
)
def test_the_first_rule_that_holds_is_due(
    expected: int | None,
    done: int,
    failed: int,
    watermark_at: int | None,
    now_ms: int,
    threshold: Decimal,
    allow_partial: bool,
) -> None:
    policy = CompletionPolicy(threshold, 900, allow_partial)
    holding = rules_that_hold(
        expected=expected,
        done=done,
        failed=failed,
        watermark_at=watermark_at,
        now_ms=now_ms,
        threshold=clamped(threshold),
        allow_partial=allow_partial,
    )
    rule = due_rule(
        expected=expected, done=done, failed=failed, watermark_at=watermark_at, now_ms=now_ms, policy=policy
    )
    assert (None if rule is None else rule.value) == (holding[0] if holding else None)
    assert fires(rule, policy) == (bool(holding) and (allow_partial or holding[0] == "all"))


@given(
    done=st.integers(0, 10**6),
    expected=st.integers(1, 10**6),
    digits=st.integers(0, 60),
    nudge=st.sampled_from([-1, 0, 1]),
)
def test_the_threshold_is_compared_exactly_however_close(done: int, expected: int, digits: int, nudge: int) -> None:
    """A threshold one unit in its last place beside the true ratio still decides rightly."""
    units = done * 100 * 10**digits // expected + nudge
    threshold = Decimal(f"{units}e-{digits}")
    policy = CompletionPolicy(threshold, None)
    exact = clamped(threshold)
    rule = due_rule(expected=expected, done=done, failed=0, watermark_at=None, now_ms=0, policy=policy)
    assert (rule is not None) == (done >= expected or Fraction(done * 100, expected) >= exact)


@given(
    expected=COUNTS,
    done=COUNTS,
    failed=COUNTS,
    more_done=COUNTS,
    more_failed=COUNTS,
    threshold=PERCENTAGES,
    later=TIMES_MS,
)
def test_what_is_due_stays_due(
    expected: int, done: int, failed: int, more_done: int, more_failed: int, threshold: Decimal, later: int
) -> None:
    """Counters that overshoot and time that passes never take a completion back."""
    policy = CompletionPolicy(threshold, 900)
    if due_rule(expected=expected, done=done, failed=failed, watermark_at=1_000, now_ms=0, policy=policy) is None:
        return
    assert due_rule(
        expected=expected,
        done=done + more_done,
        failed=failed + more_failed,
        watermark_at=1_000,
        now_ms=later,
        policy=policy,
    )


@pytest.mark.parametrize("percentage", ENUMERATED_PERCENTAGES)
@pytest.mark.parametrize("allow_partial", [True, False])
def test_never_early_and_never_missing_for_every_small_stage(percentage: str, allow_partial: bool) -> None:
    """Every number of announced, done and failed assets there is, one asset after another."""
    policy = CompletionPolicy(percentage, 900, allow_partial)
    threshold = clamped(Decimal(percentage))
    for expected in range(EXPECTED_MAX + 1):
        needed = (
            expected if not allow_partial else min(n for n in range(expected + 1) if n * 100 >= expected * threshold)
        )
        for done in range(expected + 3):
            for failed in range(expected + 3 - done):
                rule = due_rule(expected=expected, done=done, failed=failed, watermark_at=None, now_ms=0, policy=policy)
                has_enough = done >= needed or (allow_partial and done + failed >= expected)
                assert fires(rule, policy) == has_enough, (expected, done, failed)


@given(expected=st.integers(1, EXPECTED_MAX), threshold=PERCENTAGES)
def test_it_fires_at_one_asset_and_not_at_the_one_before(expected: int, threshold: Decimal) -> None:
    policy = CompletionPolicy(threshold, None)

    def is_due(done: int) -> bool:
        return due_rule(expected=expected, done=done, failed=0, watermark_at=None, now_ms=0, policy=policy) is not None

    first = -(-expected * clamped(threshold) // 100)  # rounded up
    assert [is_due(done) for done in range(expected + 1)] == [done >= first for done in range(expected + 1)]


@given(expected=COUNTS, done=COUNTS, failed=COUNTS, threshold=PERCENTAGES, lower=PERCENTAGES)
def test_a_lower_threshold_never_takes_a_completion_back(
    expected: int, done: int, failed: int, threshold: Decimal, lower: Decimal
) -> None:
    lower, threshold = sorted([threshold, lower])
    counters = {"expected": expected, "done": done, "failed": failed, "watermark_at": None, "now_ms": 0}
    if due_rule(**counters, policy=CompletionPolicy(threshold, 900)):  # type: ignore[arg-type]
        assert due_rule(**counters, policy=CompletionPolicy(lower, 900))  # type: ignore[arg-type]


@given(expected=COUNTS, done=COUNTS, failed=COUNTS, fewer=COUNTS, threshold=PERCENTAGES)
def test_growing_an_announcement_never_brings_a_completion_about(
    expected: int, done: int, failed: int, fewer: int, threshold: Decimal
) -> None:
    fewer, expected = sorted([fewer, expected])
    counters = {"done": done, "failed": failed, "watermark_at": None, "now_ms": 0}
    policy = CompletionPolicy(threshold, 900)
    if due_rule(expected=expected, **counters, policy=policy):  # type: ignore[arg-type]
        assert due_rule(expected=fewer, **counters, policy=policy)  # type: ignore[arg-type]


@given(done=st.integers(0, 10**30), expected=st.integers(1, 10**30), percent=st.integers(0, 100))
def test_counts_of_any_size_are_compared_exactly(done: int, expected: int, percent: int) -> None:
    policy = CompletionPolicy(percent, None)
    rule = due_rule(expected=expected, done=done, failed=0, watermark_at=None, now_ms=0, policy=policy)
    assert (rule is not None) == (done >= expected or done * 100 >= expected * percent)


@given(
    watermark_at=st.none() | st.integers(0, 10**6), now_ms=st.integers(0, 10**6), ttl=st.none() | st.integers(0, 900)
)
def test_a_watermark_has_strayed_when_no_news_of_now_could_have_set_it(
    watermark_at: int | None, now_ms: int, ttl: int | None
) -> None:
    has_strayed = watermark_has_strayed(watermark_at, now_ms, CompletionPolicy(90, ttl))
    assert has_strayed == (watermark_at is not None and ttl is not None and watermark_at - now_ms > ttl * 1000)


@given(expected=st.none() | COUNTS, done=COUNTS)
def test_partial_means_fewer_done_than_expected_or_nobody_knows(expected: int | None, done: int) -> None:
    assert is_partial(expected, done) == (expected is None or expected - done > 0)


@pytest.mark.parametrize(
    ("expected", "done", "failed", "threshold", "rule"),
    [
        (0, 0, 0, "90", Rule.ALL),  # zero is a total like any other
        (0, 0, 0, "0", Rule.ALL),
        (20, 17, 0, "90", None),  # 85 %
        (20, 18, 0, "90", Rule.THRESHOLD),  # exactly 90 %
        (20, 18, 0, "90.1", None),
        (20, 20, 0, "90", Rule.ALL),
        (20, 25, 0, "90", Rule.ALL),  # more than announced
        (20, 0, 20, "90", Rule.SETTLED),  # all failed: over, with nothing
        (20, 17, 3, "90", Rule.SETTLED),
        (3, 0, 0, "0", Rule.THRESHOLD),  # threshold 0: the announcement alone
        (3, 2, 0, "66.6666666666666666666666666666666667", None),  # a hair above two thirds
        (3, 2, 0, "66.6666666666666666666666666666666666", Rule.THRESHOLD),  # a hair below
        (1000, 999, 0, "99.9", Rule.THRESHOLD),  # 99.9 is not a binary fraction
        (None, 10, 0, "0", None),  # not announced: only the watermark
    ],
)
def test_threshold_table(expected: int | None, done: int, failed: int, threshold: str, rule: Rule | None) -> None:
    policy = CompletionPolicy(Decimal(threshold), 900)
    assert due_rule(expected=expected, done=done, failed=failed, watermark_at=None, now_ms=0, policy=policy) is rule


@pytest.mark.parametrize(("now_ms", "is_due"), [(999, False), (1000, True), (1001, True)])
def test_the_watermark_is_due_from_its_very_millisecond(now_ms: int, is_due: bool) -> None:
    assert watermark_is_due(1000, now_ms) is is_due
    assert watermark_is_due(None, now_ms) is False


class TestPolicy:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("-5", "0"),
            ("0", "0"),
            ("100", "100"),
            ("100.0001", "100"),
            ("250", "100"),
            ("89.95", "89.95"),
            (90, "90"),
            (0.1, "0.1"),
        ],
    )
    def test_percent_is_clamped_and_exact(self, given: object, kept: str) -> None:
        assert CompletionPolicy(given).threshold_percentage == Decimal(kept)

    @pytest.mark.parametrize("given", ["ninety", "", None, "nan", "inf", "-inf", True])
    def test_what_is_no_percentage_is_refused(self, given: object) -> None:
        with pytest.raises(ValueError, match="percentage"):
            CompletionPolicy(given)

    @pytest.mark.parametrize("given", [-1, -0.001, float("nan"), float("inf")])
    def test_what_is_no_time_to_live_is_refused(self, given: float) -> None:
        with pytest.raises(ValueError, match="watermark_ttl_seconds"):
            CompletionPolicy(watermark_ttl_seconds=given)

    @pytest.mark.parametrize(
        ("ttl_seconds", "watermark_at"), [(900, 901_000), (0, 1_000), (0.0015, 1_002), (None, None)]
    )
    def test_watermark_after(self, ttl_seconds: float | None, watermark_at: int | None) -> None:
        assert CompletionPolicy(90, ttl_seconds).watermark_after(1_000) == watermark_at

    def test_defaults_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("COMPLETION_THRESHOLD_PERCENTAGE", raising=False)
        monkeypatch.delenv("WATERMARK_TTL_SECONDS", raising=False)
        assert CompletionPolicy() == CompletionPolicy(Decimal(90), 900, True)
        monkeypatch.setenv("COMPLETION_THRESHOLD_PERCENTAGE", "97.5")
        monkeypatch.setenv("WATERMARK_TTL_SECONDS", "0.25")
        assert CompletionPolicy() == CompletionPolicy(Decimal("97.5"), 0.25, True)
        assert CompletionPolicy(Decimal(50), 1) == CompletionPolicy(Decimal(50), 1, True)

    @pytest.mark.parametrize(("value", "kept"), [("-1", "0"), ("101", "100"), (" 42.000 ", "42")])
    def test_the_environment_is_clamped_too(self, monkeypatch: pytest.MonkeyPatch, value: str, kept: str) -> None:
        monkeypatch.setenv("COMPLETION_THRESHOLD_PERCENTAGE", value)
        assert Decimal(kept) == Config().COMPLETION_THRESHOLD_PERCENTAGE

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("COMPLETION_THRESHOLD_PERCENTAGE", "most"),
            ("COMPLETION_THRESHOLD_PERCENTAGE", "nan"),
            ("WATERMARK_TTL_SECONDS", "-1"),
            ("WATERMARK_TTL_SECONDS", "inf"),
            ("WATERMARK_TTL_SECONDS", "nan"),
            ("WATERMARK_TTL_SECONDS", "soon"),
        ],
    )
    def test_a_senseless_environment_is_refused(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(ValidationError, match=name):
            Config()
