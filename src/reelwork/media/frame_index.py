"""Which frames a video presents, in which order, and where decoding can start.

Everything that names a frame by number stands on this index; it is stored beside a video, so it never holds code.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from reelwork.errors import UnreadableMedia

Times = npt.NDArray[np.int64]

MALFORMED = (ValueError, LookupError, TypeError, OSError, EOFError, ArithmeticError, zipfile.BadZipFile)


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Times of all presented frames, in units of `time_base`, and the frames at which decoding can start.

    pts            in order, one for each presented frame; now and then two frames share a time
    keyframes      strictly increasing presentation indices of random access points, the first of them 0
    keyframe_dts   decode times of the keyframes' packets: what a container seeks by
    """

    pts: Times
    time_base: Fraction
    keyframes: Times
    keyframe_dts: Times

    def __len__(self) -> int:
        return len(self.pts)

    def seconds(self, frame_index: int) -> float:
        """Time of a frame, counted from the first frame."""
        ticks: int = self.pts.item(frame_index) - self.pts.item(0)
        return ticks * self.time_base.numerator / self.time_base.denominator

    def keyframe_before(self, frame_index: int) -> int:
        """Position in `keyframes` of the last one at or before a frame."""
        return int(np.searchsorted(self.keyframes, frame_index, side="right")) - 1

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        time_base = np.array(self.time_base.as_integer_ratio(), dtype=np.int64)
        np.savez_compressed(
            buffer, pts=self.pts, time_base=time_base, keyframes=self.keyframes, keyframe_dts=self.keyframe_dts
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> FrameIndex:
        """Read what `to_bytes` wrote; anything else raises UnreadableMedia."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                pts, time_base, keyframes, keyframe_dts = (
                    arrays[name] for name in ("pts", "time_base", "keyframes", "keyframe_dts")
                )
            index = cls(pts, Fraction(int(time_base[0]), int(time_base[1])), keyframes, keyframe_dts)
        except (
            ValueError,
            KeyError,
            IndexError,
            TypeError,
            OSError,
            EOFError,
            ZeroDivisionError,
            zipfile.BadZipFile,
        ) as error:
            raise UnreadableMedia("the stored frame index is damaged; build it again from the video") from error
        if not index._is_sound():
            raise UnreadableMedia("the stored frame index contradicts itself; build it again from the video")
        return index

    def _is_sound(self) -> bool:
        arrays = (self.pts, self.keyframes, self.keyframe_dts)
        return (
            all(array.ndim == 1 and array.dtype == np.int64 and array.size for array in arrays)
            and len(self.keyframes) == len(self.keyframe_dts)
            and self.time_base > 0
            and bool((np.diff(self.pts) >= 0).all())
            and bool((np.diff(self.keyframes) > 0).all())
            and self.keyframes[0] == 0
            and self.keyframes[-1] < len(self.pts)
        )
