"""Probing in a child: the same answers, and limits that hold against files made to break them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reelwork.errors import ProbeLimitExceeded, UnreadableMedia
from reelwork.media import ProbeChild, probe_in_child, probe_video
from tests.clips import picture_bomb, signature_only
from tests.unit.media.conftest import Clips


class TestAnswers:
    def test_are_those_of_a_probe(self, clips: Clips) -> None:
        path = clips["sound.mp4"].path
        probed, expected = probe_in_child(path), probe_video(path)
        assert probed.info == expected.info
        assert probed.index.to_bytes() == expected.index.to_bytes()

    def test_reasons_come_through(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableMedia, match="ftyp"):
            probe_in_child(signature_only(tmp_path / "signature.mp4"))

    def test_a_relative_name_that_looks_like_an_option(
        self, clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("-c.mp4").write_bytes(clips["plain.mp4"].path.read_bytes())
        assert probe_in_child(Path("-c.mp4")).info.frame_count == 30

    def test_an_absent_file_is_not_called_unreadable(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            probe_in_child(tmp_path / "absent.mp4")


class TestLimits:
    def test_wall_time(self, clips: Clips) -> None:
        with ProbeChild() as child, pytest.raises(ProbeLimitExceeded, match=r"longer than 0\.001 s"):
            child.probe(clips["plain.mp4"].path, timeout_seconds=0.001)

    def test_memory(self, tmp_path: Path) -> None:
        bomb = picture_bomb(tmp_path / "bomb.mov")
        assert bomb.stat().st_size < 4096
        with (
            ProbeChild(memory_bytes=400_000_000) as child,
            pytest.raises(ProbeLimitExceeded, match="400000000 bytes of memory"),
        ):
            child.probe(bomb)

    def test_processor_time(self) -> None:
        program = "from reelwork.media.probe_child import limit; limit(1, 1 << 32)\nwhile True: pass"
        child = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
        assert child.returncode == -signal.SIGXCPU

    def test_a_child_may_not_write_files(self, tmp_path: Path) -> None:
        program = (
            "from reelwork.media.probe_child import limit; limit(9, 1 << 30); "
            f"print('x', file=open({str(tmp_path / 'file')!r}, 'w'), flush=True)"
        )
        child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert child.returncode != 0
        assert "File too large" in child.stderr
        assert (tmp_path / "file").stat().st_size == 0

    @pytest.mark.parametrize(
        ("ending", "error", "reason"),
        [
            (signal.SIGXCPU, ProbeLimitExceeded, "60 s of processor time"),
            (signal.SIGKILL, ProbeLimitExceeded, "bytes of memory"),  # the system took it for want of memory
            (signal.SIGSEGV, UnreadableMedia, "crashed"),
            (signal.SIGABRT, UnreadableMedia, "crashed"),
        ],
    )
    def test_how_a_child_ended_says_why(
        self,
        clips: Clips,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        ending: signal.Signals,
        error: type[Exception],
        reason: str,
    ) -> None:
        (tmp_path / "sitecustomize.py").write_text(f"import os; os.kill(os.getpid(), {ending:d})")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        with pytest.raises(error, match=reason):
            probe_in_child(clips["plain.mp4"].path)
