"""Finds the places of a picture that can be found again in another one, and describes each: RootSIFT.

Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004; Arandjelović, Zisserman, "Three things
everyone should know to improve object retrieval", CVPR 2012. The same picture gives the same bytes on every run."""

from __future__ import annotations

import io
import threading
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reelwork.errors import ContractViolation
from reelwork.vision.opencv import Picture, cv2, scaled_by_area

KIND: Final = "rootsift"
CODE_REVISION: Final = 2
"""Raised whenever the same picture would give other keypoints."""

SIDE_MAX: Final = 960
"""Longer pictures are scaled down first, because the time grows with the pixels; SIFT itself doubles what it is given.
Against 1280, compressed frames of 1080p lose hardly a match and take two thirds of the time."""
POINTS_MAX: Final = 3000
SIDE_MIN: Final = 8
"""A smaller picture has no keypoints."""
CONTRAST_MIN: Final = 0.005
"""Smooth things have little but faint keypoints; POINTS_MAX keeps the strongest of every part of the picture."""
CONTRAST_CLEAR: Final = 0.02
"""What stands out of the grain of a picture and of its compression."""
CELLS_ALONG_LONGER_SIDE: Final = 16

DESCRIPTOR_NUMBERS: Final = 128
DESCRIPTOR_SCALE: Final = 512
"""A descriptor of length 1 is stored times this, as bytes; hardly a number is above 0.5, and the rest is cut off."""

_FORMAT: Final = 1

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Keypoints of one picture, n of them.

    points         (n, 2), x and y in pixels of the picture
    scales         (n,), radius in pixels of the picture
    angles         (n,), degrees, clockwise from the x axis
    descriptors    (n, 128), uint8 or float32; of any length, as only directions and ratios of distances count
    width, height  of the picture
    """

    points: Floats
    scales: Floats
    angles: Floats
    descriptors: npt.NDArray[np.uint8] | Floats
    kind: str
    width: int
    height: int

    def __post_init__(self) -> None:
        count = len(self.points)
        shapes = {"points": (count, 2), "scales": (count,), "angles": (count,)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"{name} of keypoints are finite float32 {shape}, not {array.dtype} {array.shape}")
        if self.descriptors.shape != (count, DESCRIPTOR_NUMBERS) or self.descriptors.dtype not in (
            np.uint8,
            np.float32,
        ):
            raise ValueError(f"descriptors cannot be {self.descriptors.dtype} {self.descriptors.shape}")

    def __len__(self) -> int:
        return len(self.points)

    def to_bytes(self) -> bytes:
        """The same keypoints always give the same bytes."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            header=np.array([_FORMAT, self.width, self.height], np.int64),
            kind=np.frombuffer(self.kind.encode(), np.uint8),
            points=self.points,
            scales=self.scales,
            angles=self.angles,
            descriptors=self.descriptors,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Keypoints:
        """Reads what `to_bytes` wrote; ContractViolation for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                form, width, height = (int(number) for number in arrays["header"])
                if form != _FORMAT:
                    raise ValueError(f"format {form}")
                named: dict[str, Any] = {name: arrays[name] for name in ("points", "scales", "angles", "descriptors")}
                return cls(**named, kind=arrays["kind"].tobytes().decode(), width=width, height=height)
        except (
            OSError,
            EOFError,
            ValueError,
            KeyError,
            IndexError,
            TypeError,
            AttributeError,
            MemoryError,  # a header that claims more than there is
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise ContractViolation("stored keypoints are damaged; delete them, and they are made again") from error


class KeypointDetector:
    """Make one for each process. Calls from several threads wait for one another."""

    def __init__(
        self, *, side_max: int = SIDE_MAX, points_max: int = POINTS_MAX, contrast_min: float = CONTRAST_MIN
    ) -> None:
        given = (side_max, points_max, contrast_min)
        changed = "" if given == (SIDE_MAX, POINTS_MAX, CONTRAST_MIN) else f"-{side_max}-{points_max}-{contrast_min:g}"
        self.model = f"{KIND}{changed}@{CODE_REVISION}"
        self._side_max = side_max
        self._points_max = points_max
        self._sift = cv2.SIFT.create(nfeatures=0, contrastThreshold=contrast_min)
        self._lock = threading.Lock()

    def detect(self, image: Picture, mask: Mask | None = None) -> Keypoints:
        """At most `points_max` keypoints of a BGR picture; with a mask, bool (height, width), only where it is True."""
        height, width = image.shape[:2]
        if mask is not None and (mask.shape != (height, width) or mask.dtype != np.bool_):
            raise ValueError(f"a mask is bool {(height, width)}, not {mask.dtype} {mask.shape}")
        scale = min(1.0, self._side_max / max(height, width))
        small_width, small_height = max(1, round(width * scale)), max(1, round(height * scale))
        if min(small_width, small_height) < SIDE_MIN:
            return _nothing(width, height)
        gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        wanted = None if mask is None else mask.astype(np.uint8)
        if scale < 1:
            gray = scaled_by_area(gray, small_width, small_height)
            if wanted is not None:
                small = cv2.resize(wanted, (small_width, small_height), interpolation=cv2.INTER_NEAREST)
                wanted = np.asarray(small, np.uint8)
        with self._lock:
            found = self._sift.detect(gray, wanted)
            places = _spread_out(found, max(small_width, small_height), self._points_max)
            chosen, sift = self._sift.compute(gray, [found[place] for place in places])
        if not chosen:
            return _nothing(width, height)
        back = np.array([width / small_width, height / small_height], np.float32)
        # A pixel's middle lies at a whole number, so it is half a pixel that stays where it is.
        points = (np.array([one.pt for one in chosen], np.float32) + 0.5) * back - 0.5
        scales = np.array([one.size / 2 for one in chosen], np.float32) * back.mean(dtype=np.float32)
        angles = np.array([one.angle for one in chosen], np.float32)
        return Keypoints(points, scales, angles, _rooted(np.asarray(sift, np.float32)), KIND, width, height)


def _spread_out(found: Sequence[cv2.KeyPoint], side: int, points_max: int) -> npt.NDArray[np.intp]:
    """Indices of the strongest keypoints of every part of the picture, so that no busy part takes all the places."""
    strength = np.array([one.response for one in found])
    if len(found) <= points_max:
        return np.argsort(-strength, kind="stable")
    cell_side = side / CELLS_ALONG_LONGER_SIDE
    columns, rows = (np.array([one.pt for one in found]) // cell_side).astype(np.int64).T
    cell = rows * (CELLS_ALONG_LONGER_SIDE + 1) + columns
    by_cell = np.lexsort((-strength, cell))
    _, first = np.unique(cell[by_cell], return_index=True)
    begins = np.zeros(len(found), np.int64)
    begins[first] = first
    place_in_cell = np.empty(len(found), np.int64)
    place_in_cell[by_cell] = np.arange(len(found)) - np.maximum.accumulate(begins)
    return np.lexsort((-strength, place_in_cell))[:points_max]


def _rooted(sift: Floats) -> npt.NDArray[np.uint8]:
    """Square roots of each row's shares, whose Euclidean distance is the Hellinger distance of the histograms."""
    shares = sift / np.maximum(sift.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.minimum(np.rint(np.sqrt(shares) * DESCRIPTOR_SCALE), 255), np.uint8)


def _nothing(width: int, height: int) -> Keypoints:
    empty = np.empty(0, np.float32)
    descriptors = np.empty((0, DESCRIPTOR_NUMBERS), np.uint8)
    return Keypoints(np.empty((0, 2), np.float32), empty, empty, descriptors, KIND, width, height)
