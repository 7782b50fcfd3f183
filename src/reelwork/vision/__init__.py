"""Models, and what they see: pinned weights, object detection, text recognition, contact sheets.

Importing this package loads neither OpenCV nor a model runtime; the modules that need them do."""

from reelwork.vision.fetch import pull_model, pull_sample
from reelwork.vision.models import MODELS
from reelwork.vision.models_folder import (
    ModelStatus,
    Presence,
    default_models_dir,
    model_path,
    models_status,
    pull_command,
)
from reelwork.vision.package_client import ModelPullFailed, OnProgress
from reelwork.vision.pinned_file import PinnedFile
from reelwork.vision.samples import SAMPLES

__all__ = [
    "MODELS",
    "SAMPLES",
    "ModelPullFailed",
    "ModelStatus",
    "OnProgress",
    "PinnedFile",
    "Presence",
    "default_models_dir",
    "model_path",
    "models_status",
    "pull_command",
    "pull_model",
    "pull_sample",
]
