"""Probe an untrusted file in a child process that may take only so much time and memory, and may crash alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from types import TracebackType
from typing import Self

from reelwork.errors import ProbeLimitExceeded, UnreadableMedia, UnsupportedMedia
from reelwork.media.byte_source import ByteSource, MediaFile
from reelwork.media.frame_index import FrameIndex
from reelwork.media.lending import lend
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
        self._lender, borrower = socket.socketpair()
        self._is_lending = False
        limits = json.dumps({"cpu_seconds": cpu_seconds, "memory_bytes": memory_bytes, "borrower": borrower.fileno()})
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "reelwork.media.probe_child", limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            process_group=0,  # Ctrl-C in a terminal is for its parent, which would take its end for a broken video
            pass_fds=[borrower.fileno()],
        )
        borrower.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        if not self._is_lending:  # a thread whose caller was cancelled closes it itself
            self._lender.close()
        try:
            self._process.communicate()
        except ValueError:  # a thread whose caller was cancelled is in it, and reads to the end
            self._process.wait()

    def probe(self, media: MediaFile, *, timeout_seconds: float = PROBE_TIMEOUT_SECONDS) -> ProbedVideo:
        """`probe_video` behind limits, once. The time does not run while bytes that are elsewhere are fetched for it.

        ProbeLimitExceeded when it goes over one, UnreadableMedia when the child crashes; what a ByteSource raises.
        """
        try:
            if isinstance(media, Path):
                media.open("rb").close()  # an absent or forbidden file is the caller's error, not the content's
                asked = {"path": str(media.absolute())}
                output, _ = self._process.communicate(json.dumps(asked).encode(), timeout_seconds)
            else:
                output = self._lend(media, timeout_seconds)
        except (subprocess.TimeoutExpired, TimeoutError) as error:
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

    def _lend(self, media: ByteSource, timeout_seconds: float) -> bytes:
        assert self._process.stdin is not None
        asked = {"name": media.name, "size_bytes": media.size_bytes}
        try:
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            left = timeout_seconds
        else:
            self._is_lending = True
            with self._lender:
                left = lend(media, self._lender, timeout_seconds=timeout_seconds)
        output, _ = self._process.communicate(timeout=left)
        return output


def probe_in_child(media: MediaFile) -> ProbedVideo:
    """Probes a video that is there already, behind the default limits."""
    with ProbeChild() as child:
        return child.probe(media)


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
