"""The pictures of a frame: shapes, ranges of values, and that they are the same wherever decoding began."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from reelwork.media import build_frame_index, decode_frames
from reelwork.media.frame import Frame, PictureConverter
from tests.clips import write_clip
from tests.unit.media.conftest import Clips


def flat_frame(luma: int, *, pixel_format: str = "yuv420p", size: tuple[int, int] = (64, 48)) -> Frame:
    width, height = size
    picture = np.full((height * 3 // 2, width), 128, np.uint8)
    picture[:height] = luma
    return Frame(av.VideoFrame.from_ndarray(picture, format=pixel_format), 0, 0.0, PictureConverter())


class TestGray:
    # (luma in the file, grey level that is seen): limited range is stretched, full range is not
    @pytest.mark.parametrize(("luma", "gray"), [(16, 0), (126, 128), (235, 255), (0, 0), (255, 255)])
    def test_limited_range_is_stretched(self, luma: int, gray: int) -> None:
        assert flat_frame(luma).gray == pytest.approx(np.full((48, 64), gray), abs=1)

    @pytest.mark.parametrize("luma", [0, 16, 128, 235, 255])
    def test_full_range_is_kept(self, luma: int) -> None:
        assert flat_frame(luma, pixel_format="yuvj420p").gray == pytest.approx(np.full((48, 64), luma), abs=1)

    def test_small_and_large_agree(self) -> None:
        frame = flat_frame(180)
        assert frame.small_gray(16) == pytest.approx(np.full((12, 16), frame.gray[0, 0]), abs=1)
        assert frame.small_bgr(16).mean() == pytest.approx(frame.bgr.mean(), abs=1.5)


class TestShapes:
    # (size of the video, width asked for, shape that comes)
    @pytest.mark.parametrize(
        ("size", "width", "shape"),
        [((64, 48), 32, (24, 32)), ((64, 48), 64, (48, 64)), ((48, 64), 24, (32, 24)), ((64, 2), 4, (1, 4))],
    )
    def test_aspect_is_kept(self, size: tuple[int, int], width: int, shape: tuple[int, int]) -> None:
        frame = flat_frame(100, size=size)
        assert frame.small_gray(width).shape == shape
        assert frame.small_bgr(width).shape == (*shape, 3)
        assert (frame.gray.shape, frame.bgr.shape) == (size[::-1], (*size[::-1], 3))

    def test_odd_widths_are_tight(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "odd.mp4", frames=2, size=(66, 50))
        frame = next(decode_frames(path, build_frame_index(path), range(1)))
        assert (frame.width, frame.height, frame.bgr.shape) == (66, 50, (50, 66, 3))
        assert frame.bgr.flags.c_contiguous
        assert frame.small_gray(33).flags.c_contiguous


class TestPictures:
    def test_are_converted_once(self) -> None:
        frame = flat_frame(100)
        assert frame.bgr is frame.bgr
        assert frame.small_gray(16) is frame.small_gray(16)
        assert frame.small_gray(16) is not frame.small_gray(32)

    def test_cannot_be_changed_by_one_reader_under_the_eyes_of_another(self) -> None:
        with pytest.raises(ValueError, match="read-only"):
            flat_frame(100).gray[0, 0] = 1

    @pytest.mark.parametrize("name", ["open-gop.mp4", "hevc.mp4", "variable-rate.mkv"])
    def test_do_not_depend_on_where_decoding_began(self, clips: Clips, name: str) -> None:
        clip = clips[name]

        def pictures(start: int, number: int) -> list[bytes]:
            for frame in decode_frames(clip.path, clip.index, range(start, number + 1)):
                if frame.index == number:
                    made = (frame.small_bgr(20), frame.gray, frame.small_gray(20), frame.bgr)
                    return [picture.tobytes() for picture in made]
            raise AssertionError("the frame did not come")

        for number in (11, 19, 25):
            assert pictures(0, number) == pictures(number, number) == pictures(number - 3, number)
