"""Numbers add up, over threads and processes, and none is told twice."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from reelwork.runtime.metrics.catalogue import COUNTERS, HISTOGRAMS
from reelwork.runtime.metrics.tally import Tally, from_json, to_json

RETRIES = ("retries", ("q.a",))
SECONDS = ("seconds", ())


def test_counts_from_many_threads_add_up() -> None:
    tally = Tally()
    with ThreadPoolExecutor(8) as threads:
        for _ in range(8):
            threads.submit(lambda: [tally.count(*RETRIES, by=2) for _ in range(1_000)])
    assert tally.numbers().counts == {RETRIES: 16_000}


@pytest.mark.parametrize(
    ("value", "bucket"),
    [
        (0.0, 0),
        (0.1, 0),  # a bound belongs to its bucket
        (0.100001, 1),
        (1.0, 1),
        (7.0, 2),  # beyond all bounds
    ],
)
def test_an_observation_falls_into_one_bucket(value: float, bucket: int) -> None:
    tally = Tally()
    tally.observe(*SECONDS, value, (0.1, 1.0), times=3)
    *buckets, total = tally.numbers().spreads[SECONDS]
    assert buckets == [3.0 if number == bucket else 0.0 for number in range(3)]
    assert math.isclose(total, 3 * value)


def test_what_was_taken_is_not_taken_again_and_adds_up_elsewhere() -> None:
    worker, supervisor = Tally(), Tally()
    for _ in range(2):
        worker.count(*RETRIES, by=5)
        worker.observe(*SECONDS, 0.5, (0.1, 1.0), times=2)
        supervisor.add(from_json(json.loads(json.dumps(to_json(worker.take())))))
    assert to_json(worker.take()) == [[], []]
    assert supervisor.numbers().counts == {RETRIES: 10}
    assert supervisor.numbers().spreads == {SECONDS: [0.0, 4.0, 0.0, 2.0]}


@pytest.mark.parametrize("document", [None, [], [[], [], []], [[["a", [], "many"]], []], [[["a"]], []]])
def test_what_is_no_report_is_refused(document: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        from_json(document)


def test_names_follow_the_rules_of_prometheus() -> None:
    names = [metric.name for metric in (*COUNTERS, *HISTOGRAMS)]
    assert len(set(names)) == len(names)
    assert all(name.startswith("reelwork_") for name in names)
    assert all(counter.name.endswith("_total") for counter in COUNTERS)
    assert all(histogram.name.endswith(("_seconds", "_works")) for histogram in HISTOGRAMS)
    assert all(list(histogram.bounds) == sorted(set(histogram.bounds)) for histogram in HISTOGRAMS)
    assert not {label for m in (*COUNTERS, *HISTOGRAMS) for label in m.labels if label.endswith("id") or label == "le"}
