"""Network namespaces of Linux, held by nothing but an open file: they go when nobody is in them and the file is closed,
also when the tests are killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

HERE: Final = "/proc/thread-self/ns/net"
CLONE_NEWNET: Final = 0x40000000
PROGRAMS: Final = ("ip", "nsenter", "unshare")


@cache
def unavailable() -> str | None:
    """Why there are none here; None where there are."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"needs {' and '.join(missing)} (iproute2, util-linux)"
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False)
    return "network namespaces are not allowed here" if tried.returncode else None


@contextlib.contextmanager
def entered(namespace: str | Path | None) -> Iterator[None]:
    """This thread is in the namespace for as long as the block lasts; None: it stays where it is. A socket stays in the
    namespace in which it was made.
    """
    if namespace is None:
        yield
        return
    home = os.open(HERE, os.O_RDONLY)
    try:
        _enter(namespace)
        yield
        _check(_libc().setns(home, CLONE_NEWNET))
    finally:
        os.close(home)


@contextlib.contextmanager
def namespace() -> Iterator[Path]:
    """A new one, as a path for as long as the block lasts."""
    home = os.open(HERE, os.O_RDONLY)
    try:
        _check(_libc().unshare(CLONE_NEWNET))
        try:
            made = os.open(HERE, os.O_RDONLY)
        finally:
            _check(_libc().setns(home, CLONE_NEWNET))
    finally:
        os.close(home)
    try:
        yield Path(f"/proc/{os.getpid()}/fd/{made}")
    finally:
        os.close(made)


def _enter(namespace: str | Path) -> None:
    there = os.open(namespace, os.O_RDONLY)
    try:
        _check(_libc().setns(there, CLONE_NEWNET))
    finally:
        os.close(there)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(status: int) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
