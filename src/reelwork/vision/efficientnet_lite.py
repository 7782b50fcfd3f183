"""Rebuilds EfficientNet-Lite0 as an ONNX network around its published weights, without the framework they come from.

Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the lite variants
(tensorflow/tpu, models/official/efficientnet/lite) have no squeeze-and-excitation and ReLU6 for swish. Each batch
normalisation is folded into the convolution before it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from reelwork.errors import UnusableModel
from reelwork.vision.torch_weights import Tensor, read_torch_weights

INPUT_SIDE: Final = 224
FEATURES: Final = 1280
CLASSES: Final = 1000
BATCH_NORM_EPSILON: Final = 1e-3
RELU_LIMIT: Final = 6.0
OPSET, IR_VERSION = 17, 8

STAGES: Final = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1))
"""Blocks, kernel, and the first block's stride; the widths follow from the weights."""


def efficientnet_lite0(weights: Path) -> bytes:
    """The network as an ONNX file: `images` (n, 3, 224, 224), RGB, (value - 127) / 128, to `features` (n, 1280), pooled
    and not normalised, and `logits` (n, 1000), the classes of ImageNet. UnusableModel when the weights are others."""
    return _Network(read_torch_weights(weights)).serialized()


class _Network:
    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        try:
            self._build()
        except (KeyError, ValueError) as error:
            raise UnusableModel(f"these are not the weights of EfficientNet-Lite0: {error}") from error

    def serialized(self) -> bytes:
        graph = helper.make_graph(
            self._nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, INPUT_SIDE, INPUT_SIDE])],
            [
                helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", FEATURES]),
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES]),
            ],
            self._constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="reelwork"
        )
        return bytes(model.SerializeToString())

    def _build(self) -> None:
        self._constant("zero", np.float32(0))
        self._constant("six", np.float32(RELU_LIMIT))
        value = self._convolution("images", "_conv_stem", "_bn0", stride=2)
        block = 0
        for blocks, kernel, first_stride in STAGES:
            for number in range(blocks):
                value = self._block(value, f"_blocks.{block}", kernel, first_stride if number == 0 else 1)
                block += 1
        value = self._convolution(value, "_conv_head", "_bn1")
        pooled = self._node("GlobalAveragePool", [value])
        self._node("Flatten", [pooled], output="features", axis=1)
        fully_connected = [self._constant(f"_fc.{part}", self._weights[f"_fc.{part}"]) for part in ("weight", "bias")]
        self._node("Gemm", ["features", *fully_connected], output="logits", transB=1)

    def _block(self, value: str, name: str, kernel: int, stride: int) -> str:
        """Expand, filter each channel by itself, project; with a short cut where the shape stays."""
        inside = value
        if f"{name}._expand_conv.weight" in self._weights:
            inside = self._convolution(inside, f"{name}._expand_conv", f"{name}._bn0")
        depthwise = self._weights[f"{name}._depthwise_conv.weight"]
        if depthwise.shape[1:] != (1, kernel, kernel):
            raise ValueError(f"{name} has filters of the shape {depthwise.shape}")
        inside = self._convolution(
            inside, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, group=depthwise.shape[0]
        )
        inside = self._convolution(inside, f"{name}._project_conv", f"{name}._bn2", activated=False)
        return self._node("Add", [inside, value]) if stride == 1 and self._keeps_width(name) else inside

    def _keeps_width(self, name: str) -> bool:
        first = "_expand_conv" if f"{name}._expand_conv.weight" in self._weights else "_depthwise_conv"
        filters = self._weights[f"{name}.{first}.weight"]
        entering = filters.shape[1] if first == "_expand_conv" else filters.shape[0]
        return bool(entering == self._weights[f"{name}._project_conv.weight"].shape[0])

    def _convolution(
        self, value: str, name: str, batch_norm: str, *, stride: int = 1, group: int = 1, activated: bool = True
    ) -> str:
        filters = self._weights[f"{name}.weight"]
        gain, bias, mean, variance = (
            self._weights[f"{batch_norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + BATCH_NORM_EPSILON)
        folded = self._constant(f"{name}.weight", filters * scale[:, None, None, None])
        shift = self._constant(f"{name}.bias", bias - mean * scale)
        value = self._node("Conv", [value, folded, shift], strides=[stride, stride], group=group, auto_pad="SAME_UPPER")
        return self._node("Clip", [value, "zero", "six"]) if activated else value

    def _constant(self, name: str, numbers: Any) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(numbers, np.float32), name))
        return name

    def _node(self, operator: str, inputs: list[str], *, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output
