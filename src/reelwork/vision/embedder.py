"""Turns pictures into vectors that point the same way when the pictures look alike, by any ONNX image encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from reelwork.errors import ConfigurationError, UnusableModel
from reelwork.vision.encoder_configuration import EncoderConfiguration, Pooling, read_encoder_configuration
from reelwork.vision.models_folder import model_path
from reelwork.vision.onnx_session import open_session
from reelwork.vision.opencv import Picture

DEFAULT_ENCODER: Final = "efficientnet-lite0"
EFFICIENTNET_LITE0: Final = EncoderConfiguration(
    name=DEFAULT_ENCODER,
    file=DEFAULT_ENCODER,
    input_size=224,
    mean=(127 / 255, 127 / 255, 127 / 255),
    std=(128 / 255, 128 / 255, 128 / 255),
    output="features",
)

Vectors = npt.NDArray[np.float32]
"""(n, dimensions), each of length 1."""


class Embedder:
    """Not cheap to make (0.4 s); make one for each process. Threads may share it."""

    def __init__(self, onnx_model: bytes, configuration: EncoderConfiguration, *, weights_sha256: str) -> None:
        self.model = configuration.model_version(weights_sha256)
        self._configuration = configuration
        self._session = open_session(onnx_model, configuration.name)
        self._input = self._session.get_inputs()[0].name
        outputs = [output.name for output in self._session.get_outputs()]
        self._output = configuration.output or outputs[0]
        if self._output not in outputs:
            raise UnusableModel(f"{configuration.name} has no output {self._output!r}; it has {', '.join(outputs)}")
        side = configuration.input_size
        self.dimensions = len(self._encode(np.full((side, side, 3), 127, np.uint8)))

    def embed(self, images: Sequence[Picture]) -> Vectors:
        """float32 (n, dimensions), each row of length 1, of BGR pictures of any sizes.

        One picture at a time: a vector never depends on its neighbours, and memory not on their number."""
        vectors = np.empty((len(images), self.dimensions), np.float32)
        for row, image in enumerate(images):
            vectors[row] = self._encode(image)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        normal: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
        return normal

    def _encode(self, image: Picture) -> npt.NDArray[np.float32]:
        name = self._configuration.name
        prepared = self._configuration.prepared(image, self._configuration.fit)
        try:
            (output,) = self._session.run([self._output], {self._input: prepared})
        except Exception as error:  # the runtime's own exceptions have no common base but this
            raise UnusableModel(f"{name} does not take its pictures as configured: {error}") from error
        vector = _pooled(np.asarray(output, np.float32), self._configuration, name)
        if not np.isfinite(vector).all():
            raise UnusableModel(f"{name} gives numbers that are not finite")
        return vector


def load_embedder(name_or_path: str | Path = DEFAULT_ENCODER, *, models_dir: Path | None = None) -> Embedder:
    """The built-in encoder by its name, or any other by its configuration, a `.json` file beside the ONNX file.

    ModelMissing, ConfigurationError, UnusableModel."""
    if name_or_path == DEFAULT_ENCODER:
        from reelwork.vision.efficientnet_lite import efficientnet_lite0

        weights = model_path(DEFAULT_ENCODER, models_dir)
        return Embedder(efficientnet_lite0(weights), EFFICIENTNET_LITE0, weights_sha256=_sha256(weights.read_bytes()))
    path = Path(name_or_path)
    if path.suffix != ".json":
        raise ConfigurationError(
            f"there is no image encoder {str(name_or_path)!r}; give {DEFAULT_ENCODER}, or a .json configuration"
        )
    configuration = read_encoder_configuration(path)
    file = path.parent / configuration.file
    try:
        onnx_model = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} names {file}, which cannot be read: {error.strerror or error}") from error
    return Embedder(onnx_model, configuration, weights_sha256=_sha256(onnx_model))


def _pooled(output: npt.NDArray[np.float32], configuration: EncoderConfiguration, name: str) -> npt.NDArray[np.float32]:
    """(1, d), (1, tokens, d) or (1, d, height, width) to (d,)."""
    pooling = configuration.pooling
    if pooling is Pooling.NONE and output.ndim == 2:
        return np.asarray(output[0], np.float32)
    if pooling is Pooling.FIRST and output.ndim == 3:
        return np.asarray(output[0, 0], np.float32)
    if pooling is Pooling.MEAN and output.ndim in (3, 4):
        return np.asarray(output[0].mean(axis=0 if output.ndim == 3 else (1, 2)), np.float32)
    raise UnusableModel(f"{name} gives the shape {output.shape}, to which the pooling {pooling.value!r} does not fit")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
