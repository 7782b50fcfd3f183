"""Draws why something is a match: the product, the frame, what was found again in both, the product straightened."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reelwork.pipelines.match.evidence.outline import outline_of
from reelwork.pipelines.match.matching import Match, PointPair
from reelwork.vision.contact_sheet import timecode
from reelwork.vision.opencv import Picture, cv2, scaled_by_area

Colour = tuple[int, int, int]  # blue, green, red
Floats = npt.NDArray[np.float64]

BACKGROUND: Colour = (26, 22, 20)
TEXT: Colour = (240, 236, 232)
MUTED: Colour = (156, 146, 140)
OUTLINE: Colour = (90, 220, 120)
LINE: Colour = (60, 200, 255)
HALO: Colour = (16, 14, 12)

WIDTH = 1600
MARGIN = 24
GAP = 20
PRODUCT_WIDTH = 420
HEADER_HEIGHT = 74
LABEL_HEIGHT = 26
FRAME_WIDTH = WIDTH - 2 * MARGIN - GAP - PRODUCT_WIDTH
FRAME_HEIGHT_MAX = 900
PANEL_HEIGHT_MIN = 420
LINES_MAX = 40
"""More would hide the pictures; the number in the header counts all."""
JPEG_QUALITY = 86


def evidence_picture(
    product_image: Picture, frame_image: Picture, match: Match, *, product_title: str = "", video_title: str = ""
) -> bytes:
    """The picture of `draw_evidence` as JPEG."""
    drawn = draw_evidence(product_image, frame_image, match, product_title=product_title, video_title=video_title)
    _, jpeg = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(jpeg.tobytes())


def draw_evidence(
    product_image: Picture, frame_image: Picture, match: Match, *, product_title: str = "", video_title: str = ""
) -> Picture:
    """A BGR picture, WIDTH wide: the product and the frame of the match's best pair, both BGR, side by side.

    Lines join places that are the same, chosen so that they lie apart; the outline is the product's own, moved into the
    frame by the homography; below the product is the frame's part, straightened by the same, to compare by eye.
    """
    height, width = frame_image.shape[:2]
    factor = min(FRAME_WIDTH / width, FRAME_HEIGHT_MAX / height)
    panel_height = max(PANEL_HEIGHT_MIN, round(height * factor))
    canvas = np.full((HEADER_HEIGHT + panel_height + MARGIN, WIDTH, 3), BACKGROUND, np.uint8)
    _write_header(canvas, match, product_title, video_title)

    frame_left = MARGIN + PRODUCT_WIDTH + GAP + (FRAME_WIDTH - round(width * factor)) // 2
    to_frame = _placed(canvas, frame_image, factor, frame_left, HEADER_HEIGHT)
    straight = _straightened(product_image, frame_image, match)
    rows = 1 if straight is None else 2
    room = (panel_height - (rows - 1) * GAP) // rows - LABEL_HEIGHT
    to_product = _fitted(canvas, product_image, HEADER_HEIGHT, room, "the product's picture")
    if straight is not None:
        _fitted(
            canvas,
            straight,
            HEADER_HEIGHT + room + LABEL_HEIGHT + GAP,
            room,
            "the same part of the frame, straightened",
        )
    if match.best_pair.homography is not None:
        outline = outline_of(product_image)
        _draw_outline(canvas, _moved(to_product, outline), 1)
        shown = canvas[HEADER_HEIGHT : HEADER_HEIGHT + round(height * factor), frame_left:]  # nothing beside the frame
        in_frame = _moved(to_frame @ np.array(match.best_pair.homography), outline)
        _draw_outline(shown, in_frame - (frame_left, HEADER_HEIGHT), 3)
        _draw_lines(canvas, match.best_pair.inlier_points, to_product, to_frame)
    return canvas


def _write_header(canvas: Picture, match: Match, product_title: str, video_title: str) -> None:
    font = cv2.FontFace("sans")
    pair = match.best_pair
    title = f"{product_title or match.product_id}   in   {video_title or match.video_id}"
    found = (
        f"{pair.inliers} places found again" if match.method == "geometry" else "alike as a whole; too plain to verify"
    )
    cv2.putText(canvas, _shortened(title, 90), (MARGIN, 34), TEXT, font, 24, 650)
    times = ", ".join(f"{timecode(start)} to {timecode(end)}" for start, end in match.spans[:3])
    if len(match.spans) > 3:
        times += f" and {len(match.spans) - 3} more"
    words = f"at {timecode(pair.ts)}    score {match.score:.2f}    {found}    seen {times}"
    cv2.putText(canvas, words, (MARGIN, 60), MUTED, font, 16, 500)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _fitted(canvas: Picture, picture: Picture, top: int, room: int, label: str) -> Floats:
    """Places a picture in the left column, in the middle of its room, with a label below; the map into the canvas."""
    height, width = picture.shape[:2]
    factor = min(PRODUCT_WIDTH / width, room / height)
    left = MARGIN + (PRODUCT_WIDTH - round(width * factor)) // 2
    at = top + (room - round(height * factor)) // 2
    matrix = _placed(canvas, picture, factor, left, at)
    cv2.putText(canvas, label, (MARGIN, top + room + 19), MUTED, cv2.FontFace("sans"), 14, 500)
    return matrix


def _placed(canvas: Picture, picture: Picture, factor: float, left: int, top: int) -> Floats:
    """Draws the scaled picture; 3 x 3, from its pixels to the canvas."""
    height, width = picture.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if factor <= 1:
        scaled = scaled_by_area(picture, *size)
    else:
        scaled = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    canvas[top : top + size[1], left : left + size[0]] = scaled
    return np.array([[size[0] / width, 0, left], [0, size[1] / height, top], [0, 0, 1]])


def _straightened(product: Picture, frame: Picture, match: Match) -> Picture | None:
    """What the frame shows where the product is, from the product's own point of view."""
    if match.best_pair.homography is None:
        return None
    size = (product.shape[1], product.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(frame, np.array(match.best_pair.homography), size, flags=flags), np.uint8)


def _draw_outline(canvas: Picture, corners: Floats, thickness: int) -> None:
    polygon = [np.round(corners * 16).astype(np.int32).reshape(-1, 1, 2)]
    cv2.polylines(canvas, polygon, True, HALO, thickness + 3, cv2.LINE_AA, 4)
    cv2.polylines(canvas, polygon, True, OUTLINE, thickness, cv2.LINE_AA, 4)


def _draw_lines(canvas: Picture, pairs: tuple[PointPair, ...], to_product: Floats, to_frame: Floats) -> None:
    if not pairs:
        return
    points = np.array(pairs)
    chosen = _apart(points[:, :2], LINES_MAX)
    starts, ends = _moved(to_product, points[chosen, :2]), _moved(to_frame, points[chosen, 2:])
    lines = canvas.copy()
    for start, end in zip(starts, ends, strict=True):
        cv2.line(lines, _pixel(start), _pixel(end), LINE, 1, cv2.LINE_AA)
    cv2.addWeighted(lines, 0.6, canvas, 0.4, 0, canvas)
    for point in (*starts, *ends):
        cv2.circle(canvas, _pixel(point), 4, HALO, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(canvas, _pixel(point), 3, LINE, cv2.FILLED, cv2.LINE_AA)


def _apart(points: Floats, count: int) -> list[int]:
    """Indices of points far from each other: the first, then always the one farthest from those chosen (Gonzalez)."""
    chosen = [0]
    distance = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < min(count, len(points)) and distance.max() > 0:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def _pixel(point: Floats) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _moved(matrix: Floats, points: npt.ArrayLike) -> Floats:
    given = np.asarray(points, np.float64)
    moved = np.column_stack([given, np.ones(len(given))]) @ matrix.T
    return np.asarray(moved[:, :2] / moved[:, 2:], np.float64)
