"""Machines for tests: processes that share nothing but the addresses of servers.

Each machine has a network namespace with an address of its own on a bridge that leads nowhere else, and an empty
temporary folder; the rest of the file system it can only read. Nothing of it outlives the tests, also when they are
killed. Where namespaces are not allowed, a machine is a folder, and everything listens on loopback.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.namespaces import namespace, unavailable
from tests.proxy import LOOPBACK, Link, Proxy, proxy

BRIDGE_ADDRESS: Final = "10.213.0.1"
FIRST_MACHINE: Final = 11
ALONE: Final = """
set -e
places=$(awk '$3 !~ /^(proc|sysfs|devtmpfs|devpts|cgroup.*)$/ {print $2}' /proc/self/mounts)
mount -n --bind "$1" /mnt
case "$3" in "$2"/*) mount -n --bind "$3" /srv ;; esac
for place in $places; do mount -n -o remount,bind,ro "$place" 2>/dev/null || true; done
mount -n -t tmpfs tmpfs /dev/shm
mount -n -t tmpfs tmpfs "$2"
mkdir -p "$1"
mount -n --move /mnt "$1"
case "$3" in
    "$2"/*) mkdir -p "$3"; mount -n --move /srv "$3"; mount -n -o remount,bind,ro "$3" ;;
esac
cd "$2"
shift 3
exec "$@"
"""
"""Of the shown folder, the temporary folder, the checkout, which may lie in that, and a command: runs it where it can
write to nothing but the first two.
"""
CHECKOUT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """prefix: a command that becomes the one behind it, on this machine. data: a folder that no other machine has."""

    name: str
    address: str
    prefix: Sequence[str]
    data: Path
    _proxy: Proxy = field(repr=False)
    _network: Path | None = None
    _bridge: Path | None = None

    def way_to(self, port: int) -> Link:
        """Where this machine, and no other, reaches the server that listens on that port of the tests' loopback."""
        if self._bridge is None:
            return self._proxy.link(port)
        return self._proxy.link(port, listen=BRIDGE_ADDRESS, begins_in=self._bridge)

    def way_in(self, port: int) -> Link:
        """Where the tests reach what listens on that port of this machine's loopback."""
        return self._proxy.link(port, ends_in=self._network)


@contextlib.contextmanager
def machines(*names: str, shown: Path) -> Iterator[tuple[Machine, ...]]:
    """shown: the one folder that they see and can write to beside their own, for what the tests want to be told."""
    with proxy() as links:
        if unavailable() is not None:
            yield tuple(_folder_as_machine(name, shown, links) for name in names)
            return
        with ExitStack() as opened:
            bridge = opened.enter_context(namespace())
            _configure(bridge, "link add bridge type bridge", f"addr add {BRIDGE_ADDRESS}/24 dev bridge")
            _configure(bridge, "link set lo up", "link set bridge up")
            yield tuple(
                _join(name, bridge, opened.enter_context(namespace()), number, shown=shown, links=links)
                for number, name in enumerate(names, FIRST_MACHINE)
            )


def _folder_as_machine(name: str, shown: Path, links: Proxy) -> Machine:
    folder = shown / f"machine-{name}"
    folder.mkdir()
    return Machine(name=name, address=LOOPBACK, prefix=["env", f"--chdir={folder}"], data=folder / "data", _proxy=links)


def _join(name: str, bridge: Path, network: Path, number: int, *, shown: Path, links: Proxy) -> Machine:
    address, port = f"{BRIDGE_ADDRESS.rpartition('.')[0]}.{number}", f"port{number}"
    _configure(
        bridge,
        f"link add {port} type veth peer name eth0 netns {network}",
        f"link set {port} master bridge up",
    )
    _configure(network, f"addr add {address}/24 dev eth0", "link set lo up", "link set eth0 up")
    temporary = tempfile.gettempdir()
    folders = [str(shown), temporary, str(CHECKOUT)]
    alone = ["nsenter", f"--net={network}", "unshare", "--mount", "sh", "-c", ALONE, name, *folders]
    return Machine(
        name=name,
        address=address,
        prefix=alone,
        data=Path(temporary) / "data",
        _proxy=links,
        _network=network,
        _bridge=bridge,
    )


def _configure(network: Path, *commands: str) -> None:
    batch = ["nsenter", f"--net={network}", "ip", "-batch", "-"]
    subprocess.run(batch, input="\n".join(commands), text=True, check=True)
