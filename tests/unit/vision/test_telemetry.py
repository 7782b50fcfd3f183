"""The model runtime leaves nothing behind and tells nobody anything; loading the pipelines does not load it at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODEL_LOADED = """
from reelwork.errors import UnusableModel
from reelwork.vision.onnx_session import open_session
try:
    open_session(b"no model", "test")
except UnusableModel:
    print("loaded")
"""
OPTIONAL = ("onnxruntime", "onnx", "PIL", "yt_dlp", "rapidocr", "ai_edge_litert", "scenedetect")
CATALOGUE_LOADED = f"""
import sys
from reelwork.runtime.registry import load_catalogue
load_catalogue()
print(sorted(set(sys.modules) & set({OPTIONAL!r})))
"""


def run_python(code: str, home: Path) -> str:
    kept = {
        name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    environment = {**kept, "HOME": str(home), "TMPDIR": str(home)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_session_leaves_no_trace(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert run_python(MODEL_LOADED, tmp_path) == "loaded"
    assert list(tmp_path.iterdir()) == []


def test_loading_the_pipelines_loads_no_model_runtime_and_nothing_of_other_extras(tmp_path: Path) -> None:
    assert run_python(CATALOGUE_LOADED, tmp_path) == "[]"
