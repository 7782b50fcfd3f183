"""The fan-in benchmark runs, tells what it should, and leaves nothing behind. Nothing is timed here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[2]
SECONDS_MAX = 120
FEW = ("--quick", "--only", "reelwork", "--units", "60,120", "--rounds", "2", "--small", "3")


@contextmanager
def benchmark(*arguments: str, data: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, REPOSITORY / "benchmarks" / "fan_in.py", *arguments, "--data", data]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_measures_every_way_of_working_and_counts_one_completion(tmp_path: Path) -> None:
    with benchmark(*FEW, "--json", data=tmp_path) as process:
        stdout, stderr = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0, stderr
    report = json.loads(stdout)
    measured = {(row["kind"], row["group"], row["units"]): row["units_per_second"] for row in report["rates"]}
    kinds, groups = ("coroutine", "thread"), (1, 50)
    assert set(measured) == {(kind, group, units) for kind in kinds for group in groups for units in (60, 120)}
    assert {spread["count"] for (_, _, units), spread in measured.items() if units == 60} == {2}
    assert [row["idle_ms"]["count"] for row in report["delays"]] == [3, 3]
    assert [(len(row["arrivals"]), row["arrivals"][0]["counted"], row["later"]) for row in report["twice"]] == [
        (1, 20, 0),
        (1, 20, 0),
    ]
    assert [row["early_seconds"] for row in report["twice"]] == [0, 0]
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_every_process(tmp_path: Path) -> None:
    with benchmark(*FEW, data=tmp_path) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "round 1" in line)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 6  # a producer, two parents of workers, three workers
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS_MAX)
    _, alive = psutil.wait_procs(children, timeout=SECONDS_MAX)
    assert alive == []
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_contender_is_named(tmp_path: Path) -> None:
    with benchmark("--only", "reelwork,cellery", data=tmp_path) as process:
        _, stderr = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 1
    assert "cellery; there are: reelwork, reelwork-postgresql, " in stderr
