"""Probe an untrusted file in a child process that may take only so much time and memory, and may crash alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from reelwork.errors import ProbeLimitExceeded, UnreadableMedia, UnsupportedMedia
from reelwork.media.video_info import VideoInfo

PROBE_CPU_SECONDS = 60
PROBE_MEMORY_BYTES = 2 * 1024**3
PROBE_TIMEOUT_SECONDS = 120.0

KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "HOME", "LANG", "TMPDIR")

OUT_OF_MEMORY = 77
"""Exit status of the child that says "the memory limit was reached"."""


def probe_in_child(
    path: Path,
    *,
    cpu_seconds: int = PROBE_CPU_SECONDS,
    memory_bytes: int = PROBE_MEMORY_BYTES,
    timeout_seconds: float = PROBE_TIMEOUT_SECONDS,
) -> VideoInfo:
    """`probe_video` behind limits: ProbeLimitExceeded when it goes over one, UnreadableMedia when the child crashes.

    `memory_bytes` bounds the child's address space, libraries included (about 0.3 GB of it).
    """
    path.open("rb").close()  # an absent or forbidden file is the caller's error, not the content's
    request = {"path": str(path.absolute()), "cpu_seconds": cpu_seconds, "memory_bytes": memory_bytes}
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", "reelwork.media.probe_child", json.dumps(request)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_seconds,
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeLimitExceeded(f"probing took longer than {timeout_seconds:g} s and was stopped") from error
    if child.returncode == 0:
        return _info(child.stdout)
    if child.returncode in (OUT_OF_MEMORY, -signal.SIGKILL):
        raise ProbeLimitExceeded(f"probing needed more than {memory_bytes} bytes of memory and was stopped")
    if child.returncode == -signal.SIGXCPU:
        raise ProbeLimitExceeded(f"probing needed more than {cpu_seconds} s of processor time and was stopped")
    raise UnreadableMedia(f"the decoder crashed on this file (exit status {child.returncode})")


def _environment() -> dict[str, str]:
    """What Python needs and nothing else: no secret of the server is lent to a process that reads untrusted files."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | {"OPENBLAS_NUM_THREADS": "1"}  # each of its threads would reserve address space


def _info(output: bytes) -> VideoInfo:
    try:
        answer = json.loads(output)
    except ValueError as error:
        raise UnreadableMedia("the decoder crashed on this file (no answer)") from error
    if "unsupported" in answer:
        raise UnsupportedMedia(answer["unsupported"])
    if "unreadable" in answer:
        raise UnreadableMedia(answer["unreadable"])
    return VideoInfo(**answer["info"])
