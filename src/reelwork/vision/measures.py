"""Measures of single pictures and of two that follow one another, shared by whatever looks at videos. All are pure."""

from __future__ import annotations

import numpy as np

from reelwork.vision.opencv import Picture, cv2


def sharpness(luma: Picture) -> float:
    """Variance of the Laplacian of luma; a blurred picture has little. It depends on the picture's size.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    _, deviation = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))
    return float(deviation[0, 0]) ** 2


def content_change(previous_hsv: Picture, current_hsv: Picture) -> float:
    """Mean change of hue, saturation and value, as PySceneDetect's ContentDetector scores it; shapes must be equal."""
    hue, saturation, value = cv2.sumElems(cv2.absdiff(previous_hsv, current_hsv))[:3]
    pixels = float(current_hsv.shape[0] * current_hsv.shape[1])
    # Summed in PySceneDetect's order: the last bit of a sum of floats depends on it.
    return (hue / pixels + saturation / pixels + value / pixels) / 3.0


def hsv(picture: Picture) -> Picture:
    """A BGR picture in OpenCV's hue (0..179), saturation and value."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV), np.uint8)
