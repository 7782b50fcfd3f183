"""Machines of tests share nothing but the addresses of servers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.machines import Machine, machines
from tests.namespaces import unavailable
from tests.proxy import LOOPBACK

SECONDS_MAX = 20


class Caller(BaseHTTPRequestHandler):
    """Answers with a word."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"here")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of a server on the loopback of the tests."""
    with ThreadingHTTPServer((LOOPBACK, 0), Caller) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Machine, ...]]:
    with machines("one", "other", shown=tmp_path) as pair:
        yield pair


def python(machine: Machine, program: str, *arguments: object) -> str:
    done = subprocess.run(
        [*machine.prefix, sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    return (done.stdout + done.stderr).strip()


FETCH = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode())"
WRITE = """
import pathlib, sys
path = pathlib.Path(sys.argv[1])
path.write_text("x")
print([each.name for each in path.parent.iterdir() if each.is_file()])
"""


def test_a_server_is_reached_by_the_way_to_it(pair: tuple[Machine, ...], server: int) -> None:
    for machine in pair:
        link = machine.way_to(server)
        assert python(machine, FETCH, f"http://{link.host}:{link.port}") == "here"


def test_the_tests_reach_what_listens_on_a_machine(pair: tuple[Machine, ...]) -> None:
    listen = "import http.server as h; s = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler)"
    program = f"{listen}; print(s.server_port, flush=True); s.handle_request()"
    with subprocess.Popen(
        [*pair[0].prefix, sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        link = pair[0].way_in(int(process.stdout.readline()))
        assert httpx.get(f"http://{link.host}:{link.port}").status_code == 200


needs_namespaces = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


@needs_namespaces
def test_each_has_its_own_address_and_no_other_way_out(pair: tuple[Machine, ...], server: int) -> None:
    shown = [json.loads(python(machine, IP)) for machine in pair]
    assert [{address for _, address in each} for each in shown] == [{"127.0.0.1", each.address} for each in pair]
    assert pair[0].address != pair[1].address
    for machine in pair:
        assert "refused" in python(machine, FETCH, f"http://{LOOPBACK}:{server}")
        assert "unreachable" in python(machine, FETCH, "http://192.0.2.1")


IP = """
import json, subprocess
links = json.loads(subprocess.run(["ip", "-json", "-4", "addr"], capture_output=True, check=True).stdout)
print(json.dumps([[link["ifname"], each["local"]] for link in links for each in link["addr_info"]]))
"""


@needs_namespaces
def test_a_machine_writes_to_its_own_folder_and_to_the_shown_one(pair: tuple[Machine, ...], tmp_path: Path) -> None:
    temporary = pair[0].data.parent
    for machine in pair:
        assert python(machine, WRITE, temporary / machine.name) == f"['{machine.name}']"
        assert "Read-only file system" in python(machine, WRITE, Path(__file__).parent / "x")
        python(machine, WRITE, tmp_path / machine.name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]
    assert not (temporary / "one").exists()


@needs_namespaces
def test_nothing_is_left_of_them(tmp_path: Path) -> None:
    before = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    with machines("one", shown=tmp_path) as (machine,):
        assert python(machine, "print('alive')") == "alive"
    after = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    assert after == before
