"""Ids of traces and spans: the same on every machine, valid, and random enough for samplers."""

from __future__ import annotations

from uuid import UUID

import pytest
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from reelwork.events import new_event_id
from reelwork.runtime.tracing.identity import parsed, scrambled, span_id_of, trace_id_of, traceparent_of

JOB = "0b6cf8a2-1d2e-4f3a-8b4c-5d6e7f8091a2"


def test_a_job_has_the_trace_of_its_own_id() -> None:
    assert f"{trace_id_of(JOB):032x}" == JOB.replace("-", "")
    assert traceparent_of(JOB, "e", is_sampled=True) == f"00-{trace_id_of(JOB):032x}-{span_id_of('e'):016x}-01"
    assert traceparent_of(JOB, "e", is_sampled=False).endswith("-00")


@pytest.mark.parametrize("job_id", ["job-1", "", "x" * 36, "00000000-0000-0000-0000-000000000000", "größe\udcff"])
def test_any_other_id_gives_a_valid_one_too(job_id: str) -> None:
    assert 0 < trace_id_of(job_id) < 1 << 128
    assert 0 < span_id_of(job_id) < 1 << 64
    assert trace_id_of(job_id) != trace_id_of(f"{job_id}!")


def test_names_do_not_run_into_each_other() -> None:
    assert len({span_id_of("ab", "c"), span_id_of("a", "bc"), span_id_of("abc"), span_id_of("c", "ab")}) == 4


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_ratio_of_the_jobs_is_that_ratio(rate: float) -> None:
    """The last half of a UUID begins with two bits that never change."""
    sampler = TraceIdRatioBased(rate)
    ids = [scrambled(UUID(str(new_event_id())).int) for _ in range(4_000)]
    sampled = sum(sampler.should_sample(None, trace_id, "job").decision.is_sampled() for trace_id in ids)
    assert abs(sampled / len(ids) - rate) < 0.05


@pytest.mark.parametrize(
    ("header", "is_one"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", True),
        (f"00-{'A' * 32}-{'b' * 16}-00", True),
        (f"cc-{'a' * 32}-{'b' * 16}-01", True),  # a version to come
        (f"ff-{'a' * 32}-{'b' * 16}-01", False),
        (f"00-{'0' * 32}-{'b' * 16}-01", False),
        (f"00-{'a' * 32}-{'0' * 16}-01", False),
        (f"00-{'a' * 31}-{'b' * 16}-01", False),
        ("nonsense", False),
        ("", False),
    ],
)
def test_what_a_client_sends(header: str, is_one: bool) -> None:
    assert (parsed(header) is not None) is is_one
