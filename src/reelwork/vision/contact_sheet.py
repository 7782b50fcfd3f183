"""Draws one picture that shows a whole video at a glance: chosen frames with what was found in them, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reelwork.vision.detection import Box, Detection
from reelwork.vision.opencv import Picture, cv2, scaled_by_area

Colour = tuple[int, int, int]  # blue, green, red

BACKGROUND: Colour = (26, 22, 20)
EDGE: Colour = (62, 54, 50)
TITLE: Colour = (245, 242, 240)
TEXT: Colour = (214, 208, 204)
MUTED: Colour = (150, 140, 134)
LABEL_COLOURS: tuple[Colour, ...] = (
    (97, 201, 255),
    (196, 214, 92),
    (245, 168, 94),
    (158, 134, 250),
    (120, 224, 154),
    (232, 142, 214),
    (102, 148, 255),
    (214, 214, 120),
)

MARGIN = 28
GAP = 18
CAPTION_HEIGHT = 34
TITLE_HEIGHT = 64
MEDIUM, BOLD = 450, 650


@dataclass(frozen=True)
class Tile:
    """One frame on the sheet: a (height, width, 3) BGR picture, its time, a few words, and what was found in it."""

    picture: Picture
    seconds: float
    caption: str = ""
    detections: Sequence[Detection] = ()


def write_contact_sheet(
    path: Path, tiles: Sequence[Tile], *, title: str = "", subtitle: str = "", columns: int = 4, tile_width: int = 400
) -> None:
    """Writes the sheet as a PNG file."""
    sheet = draw_contact_sheet(tiles, title=title, subtitle=subtitle, columns=columns, tile_width=tile_width)
    _, png = cv2.imencode(".png", sheet)
    path.write_bytes(png.tobytes())


def draw_contact_sheet(
    tiles: Sequence[Tile], *, title: str = "", subtitle: str = "", columns: int = 4, tile_width: int = 400
) -> Picture:
    """The sheet as a BGR picture, tiles in rows; every tile gets the shape of the first. ValueError without a tile."""
    if not tiles:
        raise ValueError("a contact sheet needs at least one tile")
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    height, width = tiles[0].picture.shape[:2]
    tile_height = max(1, round(height * tile_width / width))
    top = MARGIN + (TITLE_HEIGHT if title else 0)
    sheet = np.full(
        (
            top + rows * (tile_height + CAPTION_HEIGHT) + (rows - 1) * GAP + MARGIN,
            2 * MARGIN + columns * tile_width + (columns - 1) * GAP,
            3,
        ),
        BACKGROUND,
        np.uint8,
    )
    font = cv2.FontFace("sans")
    if title:
        _write(sheet, title, (MARGIN, MARGIN + 24), font, 27, BOLD, TITLE)
        _write(sheet, subtitle, (MARGIN, MARGIN + 47), font, 15, MEDIUM, MUTED)
    colours = _colours_by_label(tiles)
    for position, tile in enumerate(tiles):
        row, column = divmod(position, columns)
        x = MARGIN + column * (tile_width + GAP)
        y = top + row * (tile_height + CAPTION_HEIGHT + GAP)
        picture = scaled_by_area(tile.picture, tile_width, tile_height)
        for detection in tile.detections:
            left, top_edge, right, bottom = _pixels(detection.box, picture)
            cv2.rectangle(picture, (left, top_edge), (right, bottom), colours[detection.label], 2, cv2.LINE_AA)
        for detection in reversed(tile.detections):  # after all boxes; the surest last, over the others
            _draw_label(picture, detection, font, colours[detection.label])
        sheet[y : y + tile_height, x : x + tile_width] = picture
        cv2.rectangle(sheet, (x - 1, y - 1), (x + tile_width, y + tile_height), EDGE, 1)
        baseline = y + tile_height + 22
        end = _write(sheet, timecode(tile.seconds), (x, baseline), font, 16, BOLD, TEXT)
        _write(sheet, tile.caption, (end + 14, baseline), font, 14, MEDIUM, MUTED)
    return sheet


def timecode(seconds: float) -> str:
    """`1:02:03.45`; hours only when there are any."""
    hundredths = round(seconds * 100)
    minutes, hundredths = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    clock = f"{minutes:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}"
    return f"{hours}:{clock}" if hours else clock


def _colours_by_label(tiles: Sequence[Tile]) -> dict[str, Colour]:
    """By first appearance, so that labels seen together differ as long as there are colours."""
    labels = dict.fromkeys(detection.label for tile in tiles for detection in tile.detections)
    return {label: LABEL_COLOURS[number % len(LABEL_COLOURS)] for number, label in enumerate(labels)}


def _draw_label(picture: Picture, detection: Detection, font: cv2.FontFace, colour: Colour) -> None:
    left, top, _, _ = _pixels(detection.box, picture)
    words = f"{detection.label} {detection.score:.0%}"
    size = 13
    _, _, chip_width, _ = cv2.getTextSize((0, 0), words, (0, 0), font, size, BOLD)
    chip_width, chip_height = chip_width + 10, size + 6
    x = max(0, min(left - 1, picture.shape[1] - chip_width))
    y = top - chip_height if top >= chip_height else min(top, picture.shape[0] - chip_height)
    cv2.rectangle(picture, (x, y), (x + chip_width, y + chip_height), colour, cv2.FILLED)
    _write(picture, words, (x + 5, y + chip_height - 5), font, size, BOLD, BACKGROUND)


def _pixels(box: Box, picture: Picture) -> tuple[int, int, int, int]:
    height, width = picture.shape[:2]
    left, top, right, bottom = box
    return (
        round(left * (width - 1)),
        round(top * (height - 1)),
        round(right * (width - 1)),
        round(bottom * (height - 1)),
    )


def _write(
    picture: Picture, text: str, origin: tuple[int, int], font: cv2.FontFace, size: int, weight: int, colour: Colour
) -> int:
    """Draws over the picture and says where the text ends."""
    if not text:
        return origin[0]
    end, _ = cv2.putText(picture, text, origin, colour, font, size, weight)
    return int(end[0])
