"""A contact sheet shows every tile, its boxes where they belong, and is a PNG that others can read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from reelwork.vision.contact_sheet import (
    BACKGROUND,
    LABEL_COLOURS,
    Tile,
    draw_contact_sheet,
    timecode,
    write_contact_sheet,
)
from reelwork.vision.detection import Detection

GRAY = np.full((90, 160, 3), 100, np.uint8)


def tiles(count: int) -> list[Tile]:
    found = [Detection("bicycle", 0.9, (0.25, 0.5, 0.75, 1.0))]
    return [Tile(GRAY, number * 0.5, f"shot {number}", found if number == 0 else []) for number in range(count)]


def test_tiles_are_laid_out_in_rows() -> None:
    one = draw_contact_sheet(tiles(1), tile_width=160)
    three = draw_contact_sheet(tiles(3), columns=3, tile_width=160)
    four = draw_contact_sheet(tiles(4), columns=3, tile_width=160)
    assert one.shape[1] < three.shape[1] == four.shape[1]
    assert one.shape[0] == three.shape[0] < four.shape[0]


def test_a_box_is_drawn_on_its_tile_only() -> None:
    sheet = draw_contact_sheet(tiles(2), columns=2, tile_width=160)
    rows, columns = np.nonzero((sheet == LABEL_COLOURS[0]).all(axis=2))
    picture_top, picture_left = np.argwhere((sheet == 100).all(axis=2))[0]
    assert abs(rows.max() - (picture_top + 89)) <= 2
    assert abs(columns.min() - (picture_left + 0.25 * 159)) <= 2
    assert columns.max() < picture_left + 160


def test_every_tile_has_a_caption_and_the_sheet_a_title() -> None:
    plain = draw_contact_sheet(tiles(1), tile_width=160)
    titled = draw_contact_sheet(tiles(1), tile_width=160, title="bikes.mp4", subtitle="250 frames")
    assert titled.shape[0] > plain.shape[0]
    assert (titled[: titled.shape[0] - plain.shape[0] + 20] != BACKGROUND).any()
    assert (plain[-50:-28] != BACKGROUND).any()


def test_the_file_is_a_png_of_the_drawn_pixels(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    write_contact_sheet(path, tiles(2), tile_width=160)
    with av.open(str(path)) as png:
        read = next(png.decode(video=0)).to_ndarray(format="bgr24")
    assert np.array_equal(read, draw_contact_sheet(tiles(2), tile_width=160))


def test_no_tiles_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one tile"):
        draw_contact_sheet([])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00.00"), (9.999, "00:10.00"), (61.25, "01:01.25"), (3599.994, "59:59.99"), (3723.45, "1:02:03.45")],
)
def test_time_codes(seconds: float, text: str) -> None:
    assert timecode(seconds) == text
