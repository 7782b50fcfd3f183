"""Draws a precision-recall curve as a PNG, with OpenCV: no plotting library is needed for two lines and a grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reelwork.vision.opencv import Picture, cv2

Point = tuple[float, float, float]
"""(threshold, precision, recall)"""

WIDTH, HEIGHT = 900, 660
LEFT, RIGHT, TOP, BOTTOM = 90, 30, 70, 80
LOWEST_PRECISION = 0.5
"""Where the upright axis begins: nobody uses a threshold that is wrong more often than right."""
INK, GRID, GOAL = (40, 40, 40), (225, 225, 225), (215, 240, 215)
COLOURS = ((180, 90, 30), (40, 120, 220))


def draw_curve(
    path: Path,
    curves: dict[str, Sequence[Point]],
    *,
    threshold: float,
    goal: tuple[float, float],
    title: str,
) -> None:
    """One line for each named curve, a dot where the threshold lies, and the goal (precision, recall) as a field."""
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    cv2.rectangle(picture, _place(1.0, goal[1]), _place(goal[0], 1.0), GOAL, -1)
    _axes(picture)
    _write(picture, title, (LEFT, 40), 20)
    _write(picture, "recall", (WIDTH // 2 - 20, HEIGHT - 22), 17)
    _write(picture, "precision", (12, TOP - 14), 17)
    for number, (name, points) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [_place(precision, recall) for _, precision, recall in points if precision >= LOWEST_PRECISION]
        if places:
            cv2.polylines(picture, [np.array(places, np.int32)], False, colour, 2, cv2.LINE_AA)
        chosen = [point for point in points if point[0] >= threshold]
        if chosen:
            cv2.circle(picture, _place(chosen[-1][1], chosen[-1][2]), 7, colour, -1, cv2.LINE_AA)
        at = (LEFT + 24, HEIGHT - BOTTOM - 30 - 28 * (len(curves) - 1 - number))
        cv2.circle(picture, (at[0] - 12, at[1] - 6), 6, colour, -1, cv2.LINE_AA)
        _write(picture, f"{name} (dot: threshold {threshold:g})", at, 16)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"{path} cannot be written; name a file that ends with .png in a folder that can be written")


def _axes(picture: Picture) -> None:
    for step in range(11):
        recall = step / 10
        cv2.line(picture, _place(LOWEST_PRECISION, recall), _place(1.0, recall), GRID, 1)
        x, y = _place(LOWEST_PRECISION, recall)
        _write(picture, f"{recall:.1f}", (x - 12, y + 24), 14)
        precision = LOWEST_PRECISION + (1 - LOWEST_PRECISION) * recall
        cv2.line(picture, _place(precision, 0.0), _place(precision, 1.0), GRID, 1)
        x, y = _place(precision, 0.0)
        _write(picture, f"{precision:.2f}", (x - 46, y + 5), 14)
    cv2.rectangle(picture, _place(1.0, 0.0), _place(LOWEST_PRECISION, 1.0), INK, 1)


def _place(precision: float, recall: float) -> tuple[int, int]:
    up = (max(precision, LOWEST_PRECISION) - LOWEST_PRECISION) / (1 - LOWEST_PRECISION)
    return round(LEFT + recall * (WIDTH - LEFT - RIGHT)), round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM))


def _write(picture: Picture, text: str, at: tuple[int, int], size: int) -> None:
    cv2.putText(picture, text, at, INK, cv2.FontFace("sans"), size, 500)
