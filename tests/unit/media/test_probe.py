"""What a probe says of sound videos, and the reasons it gives for refusing the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reelwork.errors import UnreadableMedia
from reelwork.media import VideoInfo, probe_video
from tests.clips import (
    SOUND_CLIPS,
    damage,
    header_bomb,
    packet_places,
    signature_only,
    sound_only,
    sound_with_cover,
    truncate,
    without_frames,
    write_clip,
)
from tests.unit.media.conftest import Clips


class TestSoundVideos:
    def test_says_what_it_is(self, clips: Clips) -> None:
        assert probe_video(clips["sound.mp4"].path).info == VideoInfo(
            codec="h264",
            width=64,
            height=48,
            frame_count=30,
            duration_seconds=1.2,
            frame_rate=25.0,
            has_audio=True,
        )

    @pytest.mark.parametrize("name", SOUND_CLIPS)
    def test_accepts_every_kind(self, clips: Clips, name: str) -> None:
        info = probe_video(clips[name].path).info
        assert (info.frame_count, info.width, info.height) == (len(clips[name].pts), 64, 48)
        assert info.duration_seconds > 0
        assert info.has_audio == (name == "sound.mp4")

    def test_a_single_frame_has_a_duration(self, clips: Clips) -> None:
        assert probe_video(clips["one-frame.mp4"].path).info.duration_seconds == pytest.approx(0.04)

    @pytest.mark.parametrize("name", ["100%.mp4", "a:b.mp4", "concat:a|b.mp4", "sp ace%03d.mp4", "-i.mp4"])
    def test_a_file_name_is_only_a_name(self, clips: Clips, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        path.write_bytes(clips["plain.mp4"].path.read_bytes())
        assert probe_video(path).info.frame_count == 30


def written(content: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return write


def cut_in_last_frame(path: Path) -> Path:
    whole = write_clip(path.with_stem("whole"), container_options={"movflags": "+faststart"})
    position, size = packet_places(whole)[-1]
    path.write_bytes(whole.read_bytes()[: position + size // 2])
    return path


class TestRefuses:
    @pytest.mark.parametrize(
        ("make", "name", "reason"),
        [
            (written(b""), "empty.mp4", "the file is empty"),
            (written(b"hello world" * 100), "text.mp4", "not a video file"),
            (written(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(500)), "picture.mp4", "not a video file"),
            # a playlist would make the server open what it names
            (written(b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n"), "list.mp4", "not a video file"),
            (written(b"ffconcat version 1.0\nfile /etc/passwd\n"), "list.mp4", "not a video file"),
            (signature_only, "signature.mp4", r"signature of an MP4 file \(ftyp\) and no video"),
            (sound_only, "sound.mp4", "sound only, no video"),
            (sound_with_cover, "album.mp4", "sound only, no video"),
            (without_frames, "empty.mp4", "holds no frames"),
            (lambda path: header_bomb(path, 100_000), "bomb.mp4", r"truncated: \d of its 100000 frames are there"),
            (cut_in_last_frame, "cut.mp4", "truncated: 29 of its 30 frames are there"),
        ],
    )
    def test_with_a_reason(self, tmp_path: Path, make: Callable[[Path], Path], name: str, reason: str) -> None:
        with pytest.raises(UnreadableMedia, match=reason):
            probe_video(make(tmp_path / name))

    @pytest.mark.parametrize(
        ("name", "options", "reason"),
        [
            ("cut.mp4", {}, r"truncated: the table of its frames \(moov\) at its end is missing"),
            ("cut.mp4", {"movflags": "+faststart"}, r"truncated: \d+ of its 30 frames are there"),
            ("cut.mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}, "truncated"),
            ("cut.mkv", {}, r"truncated: \d+ of \d+ bytes are there"),
            ("cut.ts", {}, r"truncated: \d+ of \d+ bytes are there"),
            ("cut.avi", {}, r"truncated: \d+ of \d+ bytes are there"),
        ],
    )
    def test_truncated(self, tmp_path: Path, name: str, options: dict[str, str], reason: str) -> None:
        whole = write_clip(tmp_path / f"whole{Path(name).suffix}", container_options=options)
        assert probe_video(whole).info.frame_count == 30
        with pytest.raises(UnreadableMedia, match=reason):
            probe_video(truncate(whole, tmp_path / name))

    def test_first_frame_that_cannot_be_decoded(self, tmp_path: Path) -> None:
        path = damage(write_clip(tmp_path / "whole.mp4"), tmp_path / "damaged.mp4", {0})
        with pytest.raises(UnreadableMedia, match=r"first frames? cannot be decoded"):
            probe_video(path)

    def test_an_absent_file_is_not_called_unreadable(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            probe_video(tmp_path / "absent.mp4")
