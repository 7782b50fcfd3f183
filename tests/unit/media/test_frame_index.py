"""The frame index against plain decodes of every kind of clip."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from reelwork.errors import UnreadableMedia
from reelwork.media import FrameIndex, build_frame_index
from tests.clips import SOUND_CLIPS, open_gop_clip, packed_clip, remux, sound_only, without_frames, write_clip
from tests.unit.media.conftest import Clips


@pytest.mark.parametrize("name", SOUND_CLIPS)
class TestAgainstPlainDecode:
    def test_holds_the_times_of_exactly_the_presented_frames(self, clips: Clips, name: str) -> None:
        assert clips[name].index.pts.tolist() == clips[name].pts

    def test_begins_at_a_keyframe(self, clips: Clips, name: str) -> None:
        keyframes = clips[name].index.keyframes
        assert keyframes[0] == 0
        assert (np.diff(keyframes) > 0).all()

    def test_survives_storage(self, clips: Clips, name: str) -> None:
        index = clips[name].index
        stored = FrameIndex.from_bytes(index.to_bytes())
        assert stored.time_base == index.time_base
        for array in ("pts", "keyframes", "keyframe_dts"):
            np.testing.assert_array_equal(getattr(stored, array), getattr(index, array))


class TestKindsOfClips:
    """The clips are what their names say; else the comparisons above would prove nothing."""

    @pytest.mark.parametrize("name", ["open-gop.mp4", "open-gop-hevc.mp4", "open-gop.ts"])
    def test_open_gop_has_frames_decoded_after_the_keyframe_and_shown_before_it(self, clips: Clips, name: str) -> None:
        with av.open(str(clips[name].path)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        second = [number for number, packet in enumerate(packets) if packet.is_keyframe][1]
        assert packets[second + 1].pts < packets[second].pts

    @pytest.mark.parametrize(
        ("name", "first_shown"), [("edited.mp4", 15), ("edited-hevc.mp4", 15), ("begins-in-open-gop.ts", 10)]
    )
    def test_cut_clips_hold_packets_that_are_not_shown(self, clips: Clips, name: str, first_shown: int) -> None:
        with av.open(str(clips[name].path)) as container:
            packets = sum(packet.size > 0 for packet in container.demux(video=0))
        assert packets > len(clips[name].index) == 30 - first_shown

    def test_hidden_frame_is_not_counted(self, clips: Clips) -> None:
        assert len(clips["hidden-frame.webm"].index) == 29

    def test_twins_share_a_time(self, clips: Clips) -> None:
        index = clips["twin-times.mp4"].index
        assert index.pts[4] == index.pts[5]
        assert len(index) == 30

    def test_late_start_does_not_start_at_zero(self, clips: Clips) -> None:
        assert clips["late-start.ts"].index.pts[0] > 0


class TestSeconds:
    def test_count_from_the_first_frame(self, clips: Clips) -> None:
        index = clips["late-start.ts"].index
        assert [index.seconds(number) for number in (0, 1, 25)] == pytest.approx([0, 0.04, 1.0])

    def test_follow_a_variable_rate(self, clips: Clips) -> None:
        clip = clips["variable-rate.mp4"]
        seconds = [clip.index.seconds(number) for number in range(30)]
        assert seconds == pytest.approx([float((pts - clip.pts[0]) * clip.index.time_base) for pts in clip.pts])
        assert len(set(np.round(np.diff(seconds), 3))) > 10


class TestKeyframeBefore:
    # position of the last keyframe (0, 10, 20) at or before a frame
    @pytest.mark.parametrize(("frame", "position"), [(0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (29, 2)])
    def test_table(self, clips: Clips, frame: int, position: int) -> None:
        assert clips["plain.mp4"].index.keyframe_before(frame) == position


class TestRefuses:
    def test_sound_only(self, tmp_path) -> None:
        with pytest.raises(UnreadableMedia, match="sound only"):
            build_frame_index(sound_only(tmp_path / "sound.mp4"))

    def test_no_frames(self, tmp_path) -> None:
        with pytest.raises(UnreadableMedia, match="no frames"):
            build_frame_index(without_frames(tmp_path / "empty.mp4"))

    def test_times_that_jump_back(self, tmp_path) -> None:
        parts = [write_clip(tmp_path / f"{part}.ts").read_bytes() for part in range(2)]
        (tmp_path / "joined.ts").write_bytes(b"".join(parts))
        with pytest.raises(UnreadableMedia, match="jump back"):
            build_frame_index(tmp_path / "joined.ts")

    @pytest.mark.parametrize("ending", ["avi", "mkv"])
    def test_two_frames_in_one_packet(self, tmp_path, ending: str) -> None:
        packed = packed_clip(tmp_path / "packed.avi")
        with pytest.raises(UnreadableMedia, match="packs two frames into one packet"):
            build_frame_index(remux(packed, tmp_path / f"copied.{ending}"))

    def test_avi_that_reorders_without_saying_how(self, tmp_path) -> None:
        with pytest.raises(UnreadableMedia, match="convert it to MP4"):
            build_frame_index(write_clip(tmp_path / "reordered.avi", bframes=2))


def stored(**changed: object) -> bytes:
    arrays: dict[str, object] = {
        "pts": np.arange(5),
        "time_base": np.array([1, 25]),
        "keyframes": np.array([0, 3]),
        "keyframe_dts": np.array([0, 3]),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **(arrays | changed))  # type: ignore[arg-type]
    return buffer.getvalue()


class TestFromBytes:
    def test_reads_a_sound_blob(self) -> None:
        assert len(FrameIndex.from_bytes(stored())) == 5

    @pytest.mark.parametrize(
        "blob",
        [
            b"",
            b"no archive",
            stored()[:100],
            stored()[:-30],
            stored(pts=np.array([0, 2, 1])),  # not in order
            stored(pts=np.array([], dtype=np.int64), keyframes=np.array([0])),  # no frame
            stored(pts=np.arange(5.0)),  # not whole numbers
            stored(pts=np.zeros((2, 2), np.int64)),
            stored(time_base=np.array([1, 0])),
            stored(time_base=np.array([1])),
            stored(time_base=np.array([-1, 25])),
            stored(keyframes=np.array([1, 3])),  # decoding could not start at frame 0
            stored(keyframes=np.array([0, 5])),  # beyond the last frame
            stored(keyframe_dts=np.array([0])),
            stored(pts=np.array([{}])),  # would need pickle
        ],
        ids=range(15),
    )
    def test_refuses_a_malformed_blob(self, blob: bytes) -> None:
        with pytest.raises(UnreadableMedia, match="build it again"):
            FrameIndex.from_bytes(blob)


class TestWhereDecodingCanStart:
    @pytest.mark.parametrize("name", ["refresh.mp4", "refresh.mkv", "refresh.ts"])
    def test_not_at_the_pictures_of_a_gradual_refresh(self, tmp_path: Path, name: str) -> None:
        """FFmpeg calls them keyframes, and presents other pictures from some of them than a plain decode does."""
        path = write_clip(tmp_path / name, frames=120, options={"x264-params": "intra-refresh=1:keyint=20"})
        assert build_frame_index(path).keyframes.tolist() == [0]

    @pytest.mark.parametrize("name", ["open.mp4", "open.mkv", "open.ts"])
    def test_at_every_intra_picture_of_an_open_group(self, tmp_path: Path, name: str) -> None:
        assert len(build_frame_index(open_gop_clip(tmp_path / name)).keyframes) >= 3
