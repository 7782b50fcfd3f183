"""One decoded frame and its pictures, converted when first asked for, straight from the decoder's own planes.

A picture never depends on which range its frame was decoded in, and dies with its frame.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from av import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

Picture = npt.NDArray[np.uint8]


class PictureConverter:
    """swscale contexts of one decoding, one for each kind of picture, so that none is set up anew for each frame."""

    def __init__(self) -> None:
        self._reformatters: dict[tuple[str, int], VideoReformatter] = {}

    def convert(self, frame: VideoFrame, pixel_format: str, width: int, height: int) -> Picture:
        """A read-only (height, width, channels) view of the converted picture; one channel has no third axis."""
        reformatter = self._reformatters.setdefault((pixel_format, width), VideoReformatter())
        converted = reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=pixel_format,
            interpolation=Interpolation.AREA,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        picture: Picture = np.ascontiguousarray(converted.to_ndarray(), dtype=np.uint8)
        picture.flags.writeable = False
        return picture


class Frame:
    """A frame of a video: `index` counts from 0 over the presented frames, `seconds` from the first of them.

    `rotation`: degrees counterclockwise by which a player would turn the pictures; they come as they were decoded.
    """

    __slots__ = ("_converter", "_decoded", "_pictures", "height", "index", "rotation", "seconds", "width")

    def __init__(self, decoded: VideoFrame, index: int, seconds: float, converter: PictureConverter) -> None:
        self.index = index
        self.seconds = seconds
        self.width = decoded.width
        self.height = decoded.height
        self.rotation = decoded.rotation
        self._decoded = decoded
        self._converter = converter
        self._pictures: dict[tuple[str, int], Picture] = {}

    @property
    def bgr(self) -> Picture:
        """(height, width, 3), blue first, as OpenCV likes it."""
        return self._picture("bgr24", self.width)

    @property
    def gray(self) -> Picture:
        """(height, width), luma stretched to 0..255."""
        return self._picture("gray", self.width)

    def small_bgr(self, width: int) -> Picture:
        """(h, width, 3), scaled by area straight from the decoded planes, aspect kept."""
        return self._picture("bgr24", width)

    def small_gray(self, width: int) -> Picture:
        """(h, width), scaled by area straight from the decoded luma, aspect kept."""
        return self._picture("gray", width)

    def _picture(self, pixel_format: str, width: int) -> Picture:
        picture = self._pictures.get((pixel_format, width))
        if picture is None:
            height = max(1, round(self.height * width / self.width))
            picture = self._converter.convert(self._decoded, pixel_format, width, height)
            self._pictures[pixel_format, width] = picture
        return picture
