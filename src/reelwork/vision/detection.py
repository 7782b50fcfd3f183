"""What a model found in a picture: a label or a text, how sure it is, and where."""

from __future__ import annotations

from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of the picture's width and height, 0..1."""


@dataclass(frozen=True)
class Detection:
    """One object, or one line of text."""

    label: str
    score: float
    box: Box


def rounded_box(left: float, top: float, right: float, bottom: float) -> Box:
    """Clipped to the picture; four decimals are finer than a pixel at 8K, and hide no difference that matters."""
    left, top, right, bottom = (round(min(max(float(edge), 0.0), 1.0), 4) for edge in (left, top, right, bottom))
    return left, top, right, bottom
