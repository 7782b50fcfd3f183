"""ONNX Runtime as Reelwork uses it: one thread a process, no spinning, because processes are the parallelism."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reelwork.errors import UnusableModel
from reelwork.vision.telemetry import switch_off_telemetry

if TYPE_CHECKING:
    import onnxruntime

ERRORS_ONLY = 3


def open_session(model: bytes, name: str) -> onnxruntime.InferenceSession:
    """A session on the CPU for a model that is whole in these bytes. UnusableModel when it cannot be loaded."""
    switch_off_telemetry()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exceptions have no common base but this
        raise UnusableModel(f"{name} cannot be loaded by ONNX Runtime: {error}") from error
