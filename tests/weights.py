"""Where tests keep model weights and sample clips: pulled once from the package index, then found there."""

from __future__ import annotations

from pathlib import Path

TEST_MODELS_DIR = Path(__file__).parents[1] / ".cache" / "reelwork-models"
