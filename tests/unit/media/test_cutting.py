"""Cutting and joining every kind of clip: the same frames at the same times, bit for bit, and the source's sound."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from reelwork.errors import UnreadableMedia
from reelwork.media import CutPlan, check_sound, cut_segments, join_segments, joining, place_segments, plan_cuts
from tests.clips import remux, write_clip
from tests.unit.media.conftest import Clips

SEGMENTS = {
    "plain.mp4": 3,
    "sound.mp4": 3,
    "bframes.mp4": 3,
    "bframes.mkv": 3,
    "bframes.ts": 3,
    "fragments.mp4": 3,
    "one-frame.mp4": 1,
    "one-keyframe.mp4": 1,
    "all-keyframes.mp4": 2,
    "variable-rate.mp4": 3,
    "variable-rate.mkv": 3,
    "open-gop.mp4": 1,  # frames before each keyframe need the group before them
    "open-gop.mkv": 1,
    "open-gop.ts": 1,
    "open-gop-hevc.mp4": 1,
    "late-start.mp4": 3,
    "late-start.ts": 3,
    "edited-at-keyframe.mp4": 2,
    "begins-in-open-gop.ts": 1,
    "gradual-refresh.mp4": 1,
    "twin-times.mp4": 3,
    "hevc.mp4": 1,
    "mpeg4.avi": 3,
    "left-out.avi": 3,
    "mpeg2.ts": 1,
    "mpeg2.mpg": 1,
    "vp9.webm": 3,
}
REFUSED = {
    "edited.mp4": "edit list",
    "edited-hevc.mp4": "edit list",
    "begins-in-open-gop.mp4": "edit list",
    "begins-in-open-gop.mkv": "cannot be copied",
    "hidden-frame.webm": "vp8 pictures",
}


def joined(path: Path, plan: CutPlan, segments: list[bytes], output: Path) -> Path:
    join_segments(written(segments, output), plan, path, output)
    return output


def written(segments: list[bytes], beside: Path) -> list[Callable[[], Path]]:
    files = [beside.with_name(f"segment-{number}.mp4") for number in range(len(segments))]
    for file, data in zip(files, segments, strict=True):
        file.write_bytes(data)
    return [lambda file=file: file for file in files]  # type: ignore[misc]


def sound_of(path: Path) -> list[tuple[float, str]]:
    with av.open(str(path)) as container:
        packets = [packet for stream in container.streams.audio for packet in container.demux(stream) if packet.size]
        return [(float(p.pts * p.time_base), hashlib.sha256(bytes(p)).hexdigest()) for p in packets]


@pytest.mark.parametrize("name", SEGMENTS)
class TestEveryKindOfClip:
    def test_segments_hold_every_frame_once(self, clips: Clips, name: str) -> None:
        clip = clips[name]
        plan = plan_cuts(clip.path, target_seconds=0.3)
        number = 0
        for segment, (_, data) in zip(plan.segments, cut_segments(clip.path, plan), strict=True):
            with av.open(io.BytesIO(data)) as container:
                frames = list(container.decode(video=0))
            assert (segment.first_frame, segment.frame_count) == (number, len(frames))
            for frame in frames:
                assert frame.time + float(segment.pts * plan.time_base) == pytest.approx(
                    float(clip.pts[number] * plan.time_base), abs=1e-9
                )
                assert np.array_equal(frame.to_ndarray(format="bgr24"), clip.pictures[number]), number
                number += 1
        assert number == plan.frame_count == len(clip.pts)
        assert len(plan.segments) == SEGMENTS[name]

    def test_joined_they_are_the_source(self, clips: Clips, name: str, tmp_path: Path) -> None:
        clip = clips[name]
        plan = plan_cuts(clip.path, target_seconds=0.3)
        check_sound(clip.path)
        output = joined(clip.path, plan, [data for _, data in cut_segments(clip.path, plan)], tmp_path / "joined.mp4")
        with av.open(str(output)) as container:
            frames = [(frame.time, frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]
        assert [time for time, _ in frames] == pytest.approx(
            [float(pts * plan.time_base) for pts in clip.pts], abs=1e-6
        )
        assert all(np.array_equal(picture, before) for (_, picture), before in zip(frames, clip.pictures, strict=True))
        assert sound_of(output) == sound_of(clip.path)


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_what_cannot_be_cut_without_loss_is_refused(clips: Clips, name: str, reason: str) -> None:
    path = clips[name].path
    with pytest.raises(UnreadableMedia, match=reason):
        list(cut_segments(path, plan_cuts(path, target_seconds=0.3)))


def test_sound_that_mp4_does_not_hold_is_refused_before_the_work(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "pictures.mp4")
    noisy = tmp_path / "noisy.mkv"
    with av.open(str(path)) as given, av.open(str(noisy), "w") as made:
        pictures = given.streams.video[0]
        copy = made.add_stream_from_template(pictures)
        sound = made.add_stream("pcm_s16le", rate=48000, layout="mono")
        for packet in given.demux(pictures):
            if packet.size:
                packet.stream = copy
                made.mux(packet)
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        block.sample_rate = 48000
        made.mux(sound.encode(block))
    with pytest.raises(UnreadableMedia, match=r"pcm_s16le.*-c:a aac"):
        check_sound(noisy)


def test_a_rotation_stays(tmp_path: Path) -> None:
    whole, turned = write_clip(tmp_path / "whole.mp4"), tmp_path / "turned.mp4"
    with av.open(str(whole)) as given, av.open(str(turned), "w") as made:
        copy = made.add_stream_from_template(given.streams.video[0])
        copy.set_display_rotation(90)
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = copy
                made.mux(packet)
    plan = plan_cuts(turned, target_seconds=0.3)
    segments = [data for _, data in cut_segments(turned, plan)]
    for file in [*map(io.BytesIO, segments), str(joined(turned, plan, segments, tmp_path / "joined.mp4"))]:
        with av.open(file) as container:
            assert next(container.decode(video=0)).rotation == 90


class TestWhatDoesNotBelongTogether:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_clip(tmp_path / "clip.mp4", audio=True, bframes=2)

    def test_a_video_replaced_since_it_was_planned(self, path: Path) -> None:
        plan = plan_cuts(path, target_seconds=0.3)
        write_clip(path, frames=15)
        with pytest.raises(UnreadableMedia, match="replaced since it was planned"):
            list(cut_segments(path, plan))

    def test_a_segment_too_short(self, path: Path, tmp_path: Path) -> None:
        plan = plan_cuts(path, target_seconds=0.3)
        segments = [data for _, data in cut_segments(path, plan)]
        (tmp_path / "1.mp4").write_bytes(segments[1])
        segments[1] = write_clip(tmp_path / "short.mp4", frames=7, bframes=2).read_bytes()
        with pytest.raises(UnreadableMedia, match="segment 1 holds 7 frames instead of 10"):
            joined(path, plan, segments, tmp_path / "joined.mp4")

    def test_a_segment_of_another_size(self, path: Path, tmp_path: Path) -> None:
        plan = plan_cuts(path, target_seconds=0.3)
        segments = [data for _, data in cut_segments(path, plan)]
        segments[2] = write_clip(tmp_path / "large.mp4", frames=10, size=(128, 96)).read_bytes()
        with pytest.raises(UnreadableMedia, match="segment 2 was encoded in another way"):
            joined(path, plan, segments, tmp_path / "joined.mp4")

    def test_a_segment_missing(self, path: Path, tmp_path: Path) -> None:
        plan = plan_cuts(path, target_seconds=0.3)
        segments = [data for _, data in cut_segments(path, plan)]
        with pytest.raises(UnreadableMedia, match="2 of 3 segments"):
            joined(path, plan, segments[:2], tmp_path / "joined.mp4")

    def test_not_even_a_video(self, path: Path, tmp_path: Path) -> None:
        plan = plan_cuts(path, target_seconds=0.3)
        segments = [data for _, data in cut_segments(path, plan)]
        segments[0] = b"nothing of the kind"
        with pytest.raises(UnreadableMedia, match="segment 0 is not a video"):
            joined(path, plan, segments, tmp_path / "joined.mp4")


class TestTables:
    """They stand before the pictures, so that a player needs no other part of the file to begin."""

    def test_they_stand_at_the_beginning_and_nothing_is_written_twice(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "clip.mp4", bframes=2, audio=True)
        plan = plan_cuts(path, target_seconds=0.3)
        segments = [data for _, data in cut_segments(path, plan)]
        output = joined(path, plan, segments, tmp_path / "joined.mp4")
        assert boxes(output) == ["ftyp", "moov", "free", "free", "mdat"]

    def test_also_where_nobody_knows_how_large_they_get(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "clip.mkv", bframes=2, audio=True)
        plan = plan_cuts(path, target_seconds=0.3)
        segments = [data for _, data in cut_segments(path, plan)]
        output = joined(path, plan, segments, tmp_path / "joined.mp4")
        assert boxes(output) == ["ftyp", "moov", "free", "mdat"]
        assert sound_of(output) == sound_of(path)

    def test_also_where_they_get_larger_than_was_thought(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_clip(tmp_path / "clip.mp4", bframes=2, audio=True)
        plan = plan_cuts(path, target_seconds=0.3)
        segments = [data for _, data in cut_segments(path, plan)]
        monkeypatch.setattr(joining, "TABLE_BYTES_MIN", 100)
        monkeypatch.setattr(joining, "TABLE_BYTES_PER_PACKET", 1)
        output = joined(path, plan, segments, tmp_path / "joined.mp4")
        assert boxes(output) == ["ftyp", "moov", "free", "mdat"]
        assert sound_of(output) == sound_of(path)


class TestSegmentsThatNobodyPlanned:
    @pytest.mark.parametrize("has_source", [True, False])
    def test_they_stand_where_they_stood(self, clips: Clips, tmp_path: Path, has_source: bool) -> None:
        clip = clips["bframes.mp4"]
        cut = plan_cuts(clip.path, target_seconds=0.3)
        segments = [data for _, data in cut_segments(clip.path, cut)]
        found = place_segments(written(segments, tmp_path / "x.mp4"), clip.index if has_source else None)
        assert [float(segment.pts * found.time_base) for segment in found.segments] == pytest.approx([0, 0.4, 0.8])
        assert (found.frame_count, found.duration_seconds) == (30, pytest.approx(cut.duration_seconds))

    def test_a_segment_that_does_not_begin_at_its_beginning(self, tmp_path: Path) -> None:
        """As other programs cut them, with the times of the whole."""
        whole = write_clip(tmp_path / "whole.mp4")
        plan = plan_cuts(whole, target_seconds=0.3)
        segments = [data for _, data in cut_segments(whole, plan)]
        (tmp_path / "1.mp4").write_bytes(segments[1])
        segments[1] = remux(tmp_path / "1.mp4", tmp_path / "late.mp4", shift=10).read_bytes()
        output = joined(whole, plan, segments, tmp_path / "joined.mp4")
        with av.open(str(output)) as container:
            assert [frame.time for frame in container.decode(video=0)] == pytest.approx([n / 25 for n in range(30)])

    @pytest.mark.parametrize(("segments", "reason"), [([], "no segments"), ([b"no video"], "segment 0 is not a video")])
    def test_what_are_none(self, tmp_path: Path, segments: list[bytes], reason: str) -> None:
        with pytest.raises(UnreadableMedia, match=reason):
            place_segments(written(segments, tmp_path / "x.mp4"), None)


def boxes(path: Path) -> list[str]:
    """The kinds of an MP4 file's outermost boxes."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        found.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4], "big") or len(data)
    return found


def test_a_cut_never_moves_sound_or_pictures_apart(tmp_path: Path) -> None:
    """The pictures begin half a second after the sound, as many recordings do."""
    whole = write_clip(tmp_path / "whole.mp4", frames=40, audio=True)
    late = tmp_path / "late.mp4"
    with av.open(str(whole)) as given, av.open(str(late), "w") as made:
        copies = {stream.index: made.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.size:
                if packet.stream.type == "video":
                    shift = round(0.5 / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = copies[packet.stream.index]
                made.mux(packet)
    plan = plan_cuts(late, target_seconds=0.3)
    output = joined(late, plan, [data for _, data in cut_segments(late, plan)], tmp_path / "joined.mp4")
    with av.open(str(output)) as container:
        assert [frame.time for frame in container.decode(video=0)][:2] == pytest.approx([0.5, 0.54])
    assert sound_of(output) == sound_of(late)


def test_a_video_cut_from_a_longer_one(tmp_path: Path) -> None:
    path = remux(write_clip(tmp_path / "whole.mp4", bframes=2), tmp_path / "later.mkv", first_keyframe=1)
    plan = plan_cuts(path, target_seconds=0.3)
    assert [segment.frame_count for segment in plan.segments] == [10, 10]
    output = joined(path, plan, [data for _, data in cut_segments(path, plan)], tmp_path / "joined.mp4")
    with av.open(str(output)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20
