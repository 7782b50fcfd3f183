"""The conformance suite of the brokers on a product that was broken on purpose: what the simulation does not run, as
the statements of the `sql` broker, is to be caught there.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tests.simulation.mutations import MUTATIONS

REPOSITORY = Path(__file__).parents[2]
SUITE = "tests/conformance/broker/test_broker.py"


class _Failures:
    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.names.append(report.nodeid.rpartition("::")[2])


def failing_tests(mutation: str, *, keyword: str) -> list[str]:
    """Those of them whose names fit the keyword. It runs pytest: in a process of its own, please."""
    failures = _Failures()
    arguments = ["-q", "-p", "no:cacheprovider", f"--rootdir={REPOSITORY}", "-k", keyword, str(REPOSITORY / SUITE)]
    with MUTATIONS[mutation].apply(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        pytest.main(arguments, plugins=[failures])
    return failures.names
