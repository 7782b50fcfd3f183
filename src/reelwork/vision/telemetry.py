"""Keeps the model runtime from telling its maker what runs here: nobody of ours has agreed to that.

ONNX Runtime's wheels for Linux and macOS make a device id and send events over HTTPS (seen in 1.31); their Privacy.md
names this switch, which must be set before the library is loaded for the first time in a process.
"""

from __future__ import annotations

import os
from typing import Final

SWITCH: Final = "ORT_DISABLE_TELEMETRY"


def switch_off_telemetry() -> None:
    """To be called before anything imports onnxruntime."""
    os.environ[SWITCH] = "1"
