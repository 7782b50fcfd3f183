"""What each analyzer says of frames whose answer is known, and how analyzers are found and refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scenedetect

from reelwork.errors import ConfigurationError, ModelMissing, UnknownAnalyzer
from reelwork.pipelines.analyze import VideoFilePipelineService
from reelwork.pipelines.analyze.analyzers import known_analyzers, load_analyzers
from reelwork.pipelines.analyze.analyzers.ocr import Ocr
from reelwork.vision.opencv import cv2
from tests.pipelines.analyze.conftest import Picture, write_pictures

WIDTH, HEIGHT = 192, 128


def results(clip: Path, analyzer: str, **options: int) -> list[dict[str, object]]:
    return [one["result"][analyzer] for one in VideoFilePipelineService().run_on_file(clip, analyzer, **options)]


def flat(luma: int) -> Picture:
    return np.full((HEIGHT, WIDTH), luma, np.uint8)


def texture(seed: int = 1) -> Picture:
    small = np.random.default_rng(seed).integers(30, 220, (8, 12), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


class TestQuality:
    def test_flat_pictures_have_their_brightness_and_nothing_else(self, tmp_path: Path) -> None:
        dark, bright = results(write_pictures(tmp_path / "a.mkv", [flat(0), flat(255)]), "quality")
        assert dark == {"brightness": 0, "contrast": 0, "sharpness": 0, "perceptual_hash": "0" * 16}
        assert bright["brightness"] == 255
        assert bright["contrast"] == bright["sharpness"] == 0

    def test_contrast_is_the_standard_deviation_of_luma(self, tmp_path: Path) -> None:
        halves = np.hstack([flat(50), flat(150)])[:, WIDTH // 2 : -WIDTH // 2]
        (result,) = results(write_pictures(tmp_path / "a.mkv", [np.ascontiguousarray(halves)]), "quality")
        assert result["brightness"] == pytest.approx(100, abs=1)
        assert result["contrast"] == pytest.approx(50, abs=1)

    def test_blur_lowers_sharpness_each_time(self, tmp_path: Path) -> None:
        pictures = [texture().astype(np.uint8)]
        pictures[0][::16] = 255
        for size in (3, 5, 9):
            pictures.append(np.asarray(cv2.GaussianBlur(pictures[0], (size, size), 0), np.uint8))
        sharpness = [result["sharpness"] for result in results(write_pictures(tmp_path / "a.mkv", pictures), "quality")]
        assert sharpness == sorted(sharpness, reverse=True)
        assert len(set(sharpness)) == 4

    def test_the_hash_is_near_for_like_pictures_and_far_for_others(self, tmp_path: Path) -> None:
        like = np.clip(texture().astype(np.int16) * 0.8 + 20, 0, 255).astype(np.uint8)
        found = results(write_pictures(tmp_path / "a.mkv", [texture(), like, texture(seed=2)]), "quality")
        original, brighter, other = (int(str(result["perceptual_hash"]), 16) for result in found)
        assert (original ^ brighter).bit_count() <= 4
        assert (original ^ other).bit_count() >= 16


class TestMotion:
    def test_the_first_frame_has_nothing_to_be_compared_with(self, tmp_path: Path) -> None:
        first, _ = results(write_pictures(tmp_path / "a.mkv", [flat(10), flat(10)]), "motion")
        assert first == {"mean_change": None, "temporal_information": None}

    def test_stillness_is_zero(self, tmp_path: Path) -> None:
        _, second = results(write_pictures(tmp_path / "a.mkv", [texture(), texture()]), "motion")
        assert second == {"mean_change": 0, "temporal_information": 0}

    def test_a_flash_changes_much_but_has_no_temporal_information(self, tmp_path: Path) -> None:
        """P.910 takes the deviation over space: light that changes everywhere alike is no motion."""
        _, second = results(write_pictures(tmp_path / "a.mkv", [flat(100), flat(140)]), "motion")
        assert second["mean_change"] == pytest.approx(40, abs=1)
        assert second["temporal_information"] == 0

    def test_faster_is_more(self, tmp_path: Path) -> None:
        pictures = [np.roll(texture(), shift, axis=1) for shift in (0, 1, 3, 9)]
        found = results(write_pictures(tmp_path / "a.mkv", pictures), "motion")[1:]
        for field in ("mean_change", "temporal_information"):
            values = [result[field] for result in found]
            assert values == sorted(values)
            assert len(set(values)) == 3

    def test_a_stride_compares_processed_frames(self, tmp_path: Path) -> None:
        clip = write_pictures(tmp_path / "a.mkv", [flat(0), flat(200), flat(0), flat(200), flat(0)])
        assert [one["mean_change"] for one in results(clip, "motion", frame_stride=2)] == [None, 0, 0]


class TestShots:
    @pytest.mark.parametrize("clip_name", ["bikes", "scenes"])
    def test_cuts_and_scores_are_those_of_scenedetect(self, clip_name: str, request: pytest.FixtureRequest) -> None:
        clip: Path = request.getfixturevalue(clip_name)
        cuts, scores = by_scenedetect(clip)
        found = results(clip, "shots")
        assert [index for index, result in enumerate(found) if result["is_cut"]] == cuts
        assert [result["score"] for result in found] == [None, *scores]
        assert len(cuts) >= 5

    def test_a_shot_lasts_from_one_cut_to_the_next(self, scenes: Path) -> None:
        shot = 0
        for result in results(scenes, "shots"):
            shot += bool(result["is_cut"])
            assert result["shot"] == shot


def by_scenedetect(clip: Path) -> tuple[list[int], list[float]]:
    """Cuts, and scores of all frames but the first, of a whole run of PySceneDetect as its documentation shows it."""
    video = scenedetect.open_video(str(clip), backend="pyav")
    stats = scenedetect.StatsManager()
    manager = scenedetect.SceneManager(stats)
    manager.add_detector(scenedetect.ContentDetector())
    frame_count = manager.detect_scenes(video)
    scores = [round(stats.get_metrics(index, ["content_val"])[0], 3) for index in range(1, frame_count)]
    return [start.frame_num for start, _ in manager.get_scene_list()[1:]], scores


@pytest.mark.usefixtures("detector_weights")
def test_objects_finds_the_cyclist_of_the_street(bikes: Path) -> None:
    found = VideoFilePipelineService().run_on_file(bikes, "objects", frame_stride=126)
    assert [one["frame_index"] for one in found] == [0, 126]
    labels = [one["label"] for one in found[1]["result"]["objects"]["objects"]]
    assert {"person", "bicycle"} <= set(labels)


def test_ocr_reads_a_frame(tmp_path: Path) -> None:
    page = np.full((96, 320), 240, np.uint8)
    cv2.putText(page, "Reelwork", (30, 62), (16,), cv2.FontFace("sans"), 44, 500)
    empty = np.full((96, 320), 240, np.uint8)
    written, blank = results(write_pictures(tmp_path / "a.mkv", [page, empty]), "ocr")
    assert [line["text"] for line in written["lines"]] == ["Reelwork"]  # type: ignore[attr-defined]
    assert blank == {"lines": []}


class TestLoadAnalyzers:
    def test_the_five_are_installed(self) -> None:
        assert {"motion", "objects", "ocr", "quality", "shots"} <= set(known_analyzers())

    def test_the_order_is_the_users(self) -> None:
        assert [analyzer.name for analyzer in load_analyzers("shots+quality")] == ["shots", "quality"]

    @pytest.mark.parametrize(
        ("pipeline_id", "reason"),
        [
            ("faces", "there is no analyzer 'faces'; known analyzers: .*quality"),
            ("shots+Quality", "there is no analyzer 'Quality'"),
            ("", "names of analyzers joined by"),
            ("shots+", "names of analyzers joined by"),
            ("shots quality", "there is no analyzer 'shots quality'"),
            ("shots+quality+shots", "'shots' stands twice"),
        ],
    )
    def test_anything_else_is_refused_with_the_reason(self, pipeline_id: str, reason: str) -> None:
        with pytest.raises(UnknownAnalyzer, match=reason):
            load_analyzers(pipeline_id)

    def test_absent_weights_are_refused_with_the_command(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REELWORK_MODELS_DIR", str(tmp_path))
        with pytest.raises(ModelMissing, match="reelwork models pull efficientdet-lite0"):
            load_analyzers("quality+objects")

    def test_an_absent_package_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Ocr, "packages", ("a_package_that_is_not_here",))
        with pytest.raises(ConfigurationError, match=r"needs a_package_that_is_not_here; .*pip install"):
            load_analyzers("ocr")

    @pytest.mark.parametrize(
        ("pipeline_id", "modules"),
        [
            ("motion", "cv2 scenedetect ai_edge_litert rapidocr onnxruntime"),
            ("quality", "scenedetect ai_edge_litert rapidocr onnxruntime"),
            ("shots+ocr", "scenedetect ai_edge_litert rapidocr onnxruntime"),
        ],
    )
    def test_nothing_heavy_is_imported_before_the_first_frame(self, pipeline_id: str, modules: str) -> None:
        program = (
            "import sys; from reelwork.pipelines.analyze.analyzers import load_analyzers;"
            f"load_analyzers({pipeline_id!r}); print(*set({modules.split()}) & set(sys.modules))"
        )
        child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        assert child.stdout.strip() == ""
