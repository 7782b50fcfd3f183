"""The rules of completion against a second, slow and obvious statement of them in fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reelwork.ledger.rules import CompletionPolicy, Rule, due_rule, fires, is_partial, watermark_is_due
from reelwork.settings import Config

COUNTS = st.integers(0, 40)
PERCENTAGES = st.one_of(
    st.sampled_from([Decimal(0), Decimal(100), Decimal("99.9"), Decimal("33.3"), Decimal("66.666666666666666667")]),
    st.decimals(0, 100, places=3),
    st.decimals(0, 100, places=45),
)
TIMES_MS = st.integers(0, 5_000)


def rules_that_hold(
    *,
    expected: int | None,
    done: int,
    failed: int,
    watermark_at: int | None,
    now_ms: int,
    threshold: Fraction,
    allow_partial: bool,
) -> list[Rule]:
    """Section 3 of the design, sentence by sentence."""
    announced = expected is not None
    holding = {
        Rule.ALL: announced and done >= expected,
        Rule.SETTLED: announced and done + failed >= expected,
        Rule.THRESHOLD: allow_partial and announced and done >= expected * threshold / 100,
        Rule.WATERMARK: watermark_at is not None and now_ms >= watermark_at,
    }
    return [rule for rule, holds in holding.items() if holds]


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
        threshold=Fraction(threshold),
        allow_partial=allow_partial,
    )
    rule = due_rule(
        expected=expected, done=done, failed=failed, watermark_at=watermark_at, now_ms=now_ms, policy=policy
    )
    assert rule == (holding[0] if holding else None)
    assert fires(rule, policy) == (bool(holding) and (allow_partial or holding[0] is Rule.ALL))


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
    exact = min(max(Fraction(threshold), Fraction(0)), Fraction(100))
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
