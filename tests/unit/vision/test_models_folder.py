"""Which weights are on this machine, and what a user is told when they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelwork.errors import ConfigurationError, ModelMissing
from reelwork.vision import MODELS, SAMPLES, Presence, default_models_dir, model_path, models_status
from reelwork.vision.pinned_file import PinnedFile, PythonPackageFile

DETECTOR = "efficientdet-lite0"


def test_a_missing_model_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=f"reelwork models pull {DETECTOR}"):
        model_path(DETECTOR, tmp_path)


def test_an_unknown_model_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=DETECTOR):
        model_path("yolo", tmp_path)


def test_status_tells_missing_from_corrupt(tmp_path: Path) -> None:
    assert _presence(tmp_path) is Presence.MISSING
    (tmp_path / MODELS[DETECTOR].file_name).write_bytes(bytes(MODELS[DETECTOR].size_bytes))
    assert _presence(tmp_path) is Presence.CORRUPT
    with pytest.raises(ModelMissing):
        model_path(DETECTOR, tmp_path)


def test_ocr_models_lie_in_the_installed_package(tmp_path: Path) -> None:
    ready = {status.model.name for status in models_status(tmp_path) if status.presence is Presence.READY}
    assert ready == {"ppocr-v6-detection", "ppocr-v6-recognition", "ppocr-v2-orientation"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"REELWORK_MODELS_DIR": "/models"}, "/models"),
        ({"XDG_CACHE_HOME": "/cache"}, "/cache/reelwork/models"),
        ({"HOME": "/home/me"}, "/home/me/.cache/reelwork/models"),
    ],
)
def test_default_folder(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    for name in ("REELWORK_MODELS_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_models_dir() == Path(expected)


def test_a_file_changed_after_it_was_verified_is_noticed(tmp_path: Path) -> None:
    pinned = PinnedFile("x", "", PythonPackageFile("p", "1", "x.bin"), SHA256_OF_ABC, 3, "", "")
    path = tmp_path / "x.bin"
    path.write_bytes(b"abc")
    assert pinned.matches(path)
    path.write_bytes(b"abd")
    assert not pinned.matches(path)


@pytest.mark.parametrize("pinned", [*MODELS.values(), *SAMPLES.values()], ids=lambda pinned: pinned.name)
def test_every_row_of_the_tables_is_complete(pinned: PinnedFile) -> None:
    assert len(bytes.fromhex(pinned.sha256)) == 32
    assert pinned.size_bytes > 0
    assert pinned.task
    assert pinned.licence
    assert pinned.licence_found_in
    assert "/" not in pinned.name


SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def _presence(folder: Path) -> Presence:
    return next(status.presence for status in models_status(folder) if status.model.name == DETECTOR)
