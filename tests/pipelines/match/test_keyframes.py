"""Which frames of a video are chosen, on clips whose content is known frame by frame."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from reelwork.errors import UndecodableFrames, UnsupportedMedia
from reelwork.media import probe_video
from reelwork.pipelines.match.videos import KEYFRAMES_PER_MINUTE_MAX, NoKeyframes, keyframes_of
from reelwork.pipelines.match.videos.keyframes import PICTURE_SIDE_MAX
from tests.clips import damage
from tests.pipelines.match.conftest import Picture, blurred, textured, write_video


def moving(seed: int, frames: int, *, speed: int = 1) -> list[Picture]:
    return [np.roll(textured(seed), speed * number, axis=1) for number in range(frames)]


def chosen(path: Path) -> list[int]:
    return [keyframe.frame_index for keyframe in keyframes_of(path)]


class TestShots:
    def test_each_shot_is_seen_and_each_second_of_it(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "a.mkv", moving(1, 30) + moving(2, 8) + moving(3, 22))
        indices = chosen(path)
        by_shot = Counter("first" if i < 30 else "second" if i < 38 else "third" for i in indices)
        assert by_shot == {"first": 3, "second": 1, "third": 3}
        assert indices == sorted(set(indices))

    def test_ids_and_times_are_those_of_the_frames(self, tmp_path: Path) -> None:
        keyframes = list(keyframes_of(write_video(tmp_path / "a.mkv", moving(1, 30))))
        assert [k.frame_id for k in keyframes] == [f"{k.frame_index:08d}" for k in keyframes]
        assert [k.ts for k in keyframes] == pytest.approx([k.frame_index / 10 for k in keyframes])

    def test_a_video_of_one_frame_has_one(self, tmp_path: Path) -> None:
        assert chosen(write_video(tmp_path / "a.mkv", [textured(1)])) == [0]

    def test_the_picture_is_the_frame(self, tmp_path: Path) -> None:
        (keyframe,) = keyframes_of(write_video(tmp_path / "a.mkv", [textured(1)]))
        difference = np.abs(keyframe.image.astype(int) - textured(1))
        assert np.median(difference) <= 3  # blue is first, and only edges suffer from the video's coarser colours

    def test_the_same_file_gives_the_same_frames(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "a.mkv", moving(1, 30) + moving(2, 20))
        first, second = list(keyframes_of(path)), list(keyframes_of(path))
        assert [k.frame_id for k in first] == [k.frame_id for k in second]
        assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))


class TestLimit:
    def test_no_minute_has_more_than_the_limit(self, tmp_path: Path) -> None:
        pictures = [textured(number // 3, width=48, height=36) for number in range(1300)]  # a cut every 0.3 s
        path = write_video(tmp_path / "a.mkv", pictures)
        minutes = Counter(int(keyframe.ts // 60) for keyframe in keyframes_of(path))
        assert max(minutes.values()) <= KEYFRAMES_PER_MINUTE_MAX
        assert minutes[0] > KEYFRAMES_PER_MINUTE_MAX // 2

    def test_large_frames_are_made_smaller(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "a.mkv", [textured(1, width=2400, height=600)], codec="mjpeg")
        (keyframe,) = keyframes_of(path)
        assert keyframe.image.shape == (600 * PICTURE_SIDE_MAX // 2400, PICTURE_SIDE_MAX, 3)


class TestBlur:
    def test_the_sharp_frames_of_a_shot_are_chosen(self, tmp_path: Path) -> None:
        pictures = [blurred(p) if number % 10 < 7 else p for number, p in enumerate(moving(1, 30))]
        assert all(index % 10 >= 7 for index in chosen(write_video(tmp_path / "a.mkv", pictures)))

    def test_a_blurred_shot_gives_nothing(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "a.mkv", moving(1, 20) + [blurred(p) for p in moving(2, 20)])
        assert chosen(path)
        assert max(chosen(path)) < 20

    @pytest.mark.parametrize("picture", [np.zeros((108, 192, 3), np.uint8), blurred(textured(1))])
    def test_a_video_of_nothing_else_says_so(self, tmp_path: Path, picture: Picture) -> None:
        with pytest.raises(NoKeyframes, match="all 4 frames looked at are blurred or empty"):
            chosen(write_video(tmp_path / "a.mkv", [picture] * 8))


class TestStills:
    def test_of_a_still_the_first_and_the_last_are_kept(self, tmp_path: Path) -> None:
        indices = chosen(write_video(tmp_path / "a.mkv", [textured(1)] * 60 + moving(2, 10)))
        still = [index for index in indices if index < 60]
        assert len(still) == 2
        assert still[0] < 10
        assert still[1] >= 50

    def test_a_small_thing_that_moves_is_no_still(self, tmp_path: Path) -> None:
        pictures = []
        for number in range(50):
            picture = textured(1)
            picture[20:44, 3 * number : 3 * number + 24] = 255
            pictures.append(picture)
        assert len(chosen(write_video(tmp_path / "a.mkv", pictures))) == 5


class TestRotation:
    # (degrees that a player turns it counterclockwise, where the upper left corner of the file's picture ends up)
    @pytest.mark.parametrize(("rotation", "corner"), [(0, (0, 0)), (90, (-1, 0)), (180, (-1, -1)), (-90, (0, -1))])
    def test_pictures_are_upright(self, tmp_path: Path, rotation: int, corner: tuple[int, int]) -> None:
        picture = textured(1, width=96, height=48)
        picture[:24, :48] = 255
        picture[24:, :] //= 2
        picture[:24, 48:] //= 2
        path = write_video(tmp_path / "a.mp4", [picture], codec="mjpeg", rotation=rotation)
        (keyframe,) = keyframes_of(path)
        assert keyframe.image.shape[:2] == ((48, 96) if rotation in (0, 180) else (96, 48))
        assert keyframe.image[corner].min() > 230
        assert sum(keyframe.image[y, x].min() > 230 for y in (0, -1) for x in (0, -1)) == 1


class TestDamage:
    def test_frames_behind_the_damage_are_still_seen(self, tmp_path: Path) -> None:
        options = {"codec": "libx264", "keyframe_interval": 10}
        whole = write_video(tmp_path / "whole.mp4", moving(1, 60), **options)
        broken = damage(whole, tmp_path / "broken.mp4", range(12, 30))
        told: list[UndecodableFrames] = []
        indices = [k.frame_index for k in keyframes_of(broken, on_damage=told.append)]
        assert told
        assert "cannot be decoded" in str(told[0])
        assert {index // 10 for index in indices} >= {0, 3, 4, 5}
        assert not {index for index in indices if 12 <= index < 30}

    def test_a_video_of_nothing_but_damage_says_so(self, tmp_path: Path) -> None:
        whole = write_video(tmp_path / "whole.mp4", moving(1, 10), codec="libx264", keyframe_interval=5)
        broken = damage(whole, tmp_path / "broken.mp4", range(10))
        with pytest.raises(NoKeyframes, match=r"cannot be decoded.*; repair or convert it"):
            list(keyframes_of(broken, index=probe_video(whole).index))


def test_a_web_page_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_text("<!DOCTYPE html><title>Sign in</title>")
    with pytest.raises(UnsupportedMedia, match="not a video file"):
        list(keyframes_of(path))
