"""Every test here may read what it made itself, and uses the encoder alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines.match.job.house import texture, write_product, write_video
from tests.weights import ENCODER_ALONE_DIR, pull_encoder_alone


@pytest.fixture(scope="session", autouse=True)
def _encoder() -> Path:
    return pull_encoder_alone()


@pytest.fixture(autouse=True)
def _settings_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELWORK_SOURCE_FOLDERS", str(tmp_path))
    monkeypatch.setenv("REELWORK_MODELS_DIR", str(ENCODER_ALONE_DIR))


@pytest.fixture
def products(tmp_path: Path) -> Path:
    """A mug with two pictures, and a box."""
    folder = tmp_path / "products"
    write_product(folder, "red mug", texture(1), texture(2))
    write_product(folder, "blue-box", texture(3))
    return folder


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """The mug in a kitchen, and a garden without any product."""
    folder = tmp_path / "videos"
    write_video(folder / "kitchen.mp4", texture(1))
    write_video(folder / "garden.mp4", None, seed=5)
    return folder
