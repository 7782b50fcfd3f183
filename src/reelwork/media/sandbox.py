"""Probe an untrusted file in a child process that may take only so much time and memory, and may crash alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from types import TracebackType
from typing import Self

from reelwork.errors import ProbeLimitExceeded, UnreadableMedia, UnsupportedMedia
from reelwork.media.frame_index import FrameIndex
from reelwork.media.probe import ProbedVideo
from reelwork.media.video_info import VideoInfo

PROBE_CPU_SECONDS = 60
PROBE_MEMORY_BYTES = 2 * 1024**3
PROBE_TIMEOUT_SECONDS = 120.0

KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "HOME", "LANG", "TMPDIR")

OUT_OF_MEMORY = 77
"""Exit status of the child that says "the memory limit was reached"."""


class ProbeChild:
    """A process that waits for a file to probe. It may be started while the file still arrives.

    `memory_bytes` bounds the child's address space, libraries included (about 0.3 GB of it).
    """

    def __init__(self, *, cpu_seconds: int = PROBE_CPU_SECONDS, memory_bytes: int = PROBE_MEMORY_BYTES) -> None:
        self._cpu_seconds = cpu_seconds
        self._memory_bytes = memory_bytes
        limits = json.dumps({"cpu_seconds": cpu_seconds, "memory_bytes": memory_bytes})
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "reelwork.media.probe_child", limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            process_group=0,  # Ctrl-C in a terminal is for its parent, which would take its end for a broken video
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        try:
            self._process.communicate()
        except ValueError:  # a thread whose caller was cancelled is in it, and reads to the end
            self._process.wait()

    def probe(self, path: Path, *, timeout_seconds: float = PROBE_TIMEOUT_SECONDS) -> ProbedVideo:
        """`probe_video` behind limits, once.

        ProbeLimitExceeded when it goes over one, UnreadableMedia when the child crashes.
        """
        path.open("rb").close()  # an absent or forbidden file is the caller's error, not the content's
        try:
            output, _ = self._process.communicate(json.dumps(str(path.absolute())).encode(), timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise ProbeLimitExceeded(f"probing took longer than {timeout_seconds:g} s and was stopped") from error
        status = self._process.returncode
        if status == 0:
            return _probed(output)
        if status in (OUT_OF_MEMORY, -signal.SIGKILL):
            raise ProbeLimitExceeded(f"probing needed more than {self._memory_bytes} bytes of memory and was stopped")
        if status == -signal.SIGXCPU:
            raise ProbeLimitExceeded(
                f"probing needed more than {self._cpu_seconds} s of processor time and was stopped"
            )
        raise UnreadableMedia(f"the decoder crashed on this file (exit status {status})")


def probe_in_child(path: Path) -> ProbedVideo:
    """Probes a file that is there already, behind the default limits."""
    with ProbeChild() as child:
        return child.probe(path)


def _environment() -> dict[str, str]:
    """What Python needs and nothing else: no secret of the server is lent to a process that reads untrusted files."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | {"OPENBLAS_NUM_THREADS": "1"}  # each of its threads would reserve address space


def _probed(output: bytes) -> ProbedVideo:
    try:
        answer = json.loads(output)
    except ValueError as error:
        raise UnreadableMedia("the decoder crashed on this file (no answer)") from error
    if "unsupported" in answer:
        raise UnsupportedMedia(answer["unsupported"])
    if "unreadable" in answer:
        raise UnreadableMedia(answer["unreadable"])
    return ProbedVideo(VideoInfo(**answer["info"]), FrameIndex.from_bytes(b64decode(answer["index"])))
