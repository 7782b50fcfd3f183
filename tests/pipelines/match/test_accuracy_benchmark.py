"""The figures of the accuracy benchmark are right, its two sets share nothing, and it runs on anybody's pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reelwork.pipelines.match.matching import Match, Pair
from reelwork.vision.opencv import cv2
from tests.pipelines.match.pictures import product_picture

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
sys.path.append(str(BENCHMARKS))

from match_curve import draw_curve  # noqa: E402
from match_figures import (  # noqa: E402
    Share,
    claims_of,
    curve,
    expected_of,
    mean_overlap,
    precision,
    recall,
    recall_by_condition,
    reliability,
    time_overlap,
)
from match_logistic import fit  # noqa: E402
from match_sets import SET_NAMES, Folders, pictures_of, plans  # noqa: E402
from match_videos import Appearance, Conditions, Truth  # noqa: E402


def _appearance(product: str, start: float, end: float, *, known: bool = True, scale: float = 0.6) -> Appearance:
    return Appearance(product, start, end, known, Conditions(scale, 0, 10, 0, 0, 0.5, 1, 0))


def _match(product: str, ts: float, score: float, *spans: tuple[float, float]) -> Match:
    pair = Pair(image_id="0", frame_id="f", ts=ts, inliers=9, homography=None, inlier_points=())
    return Match(product_id=product, video_id="v", score=score, method="geometry", best_pair=pair, spans=spans)


TRUTH = Truth(
    "v",
    28,
    (
        _appearance("box", 2, 8),
        _appearance("tin", 10, 15, scale=0.3),
        _appearance("jar", 20, 24),
        _appearance("stranger", 26, 30, known=False),
    ),
)
MATCHES = [
    _match("box", 5, 0.99, (2, 6)),
    _match("tin", 12, 0.8, (10, 15)),
    _match("jar", 27, 0.75, (26, 28)),  # the right product at the wrong time: taken for a stranger
    _match("cup", 27, 0.4, (26, 28)),
]
CLAIMS = claims_of(MATCHES, TRUTH)
EXPECTED = expected_of([TRUTH], CLAIMS)


class TestFigures:
    def test_a_match_is_true_where_its_best_pair_lies_within_an_appearance(self) -> None:
        assert [claim.is_true for claim in CLAIMS] == [True, True, False, False]
        assert [one.score for one in EXPECTED] == [0.99, 0.8, None]

    @pytest.mark.parametrize(
        ("threshold", "right", "made", "found"), [(0.0, 2, 4, 2), (0.7, 2, 3, 2), (0.9, 1, 1, 1), (1.0, 0, 0, 0)]
    )
    def test_precision_and_recall(self, threshold: float, right: int, made: int, found: int) -> None:
        assert precision(CLAIMS, threshold) == Share(right, made)
        assert recall(EXPECTED, threshold) == Share(found, 3)

    def test_span_overlap_is_of_true_matches_only(self) -> None:
        assert time_overlap([(2, 6)], [(2, 8)]) == pytest.approx(4 / 6)
        assert time_overlap([(0, 1), (2, 3)], [(0.5, 2.5)]) == pytest.approx(1 / 3)
        assert mean_overlap(CLAIMS, 0.0) == pytest.approx((4 / 6 + 1) / 2)

    def test_every_appearance_counts_once_under_each_condition(self) -> None:
        table = recall_by_condition(EXPECTED, 0.7)
        assert {sum(share.whole for share in row.values()) for row in table.values()} == {3}
        assert table["scale"]["0.25 to 0.5"] == Share(1, 1)
        assert table["scale"]["0.5 to 0.75"] == Share(1, 2)

    def test_reliability_counts_every_claim_once(self) -> None:
        rows = {(low, high): share for low, high, _, share in reliability(CLAIMS)}
        assert sum(share.whole for share in rows.values()) == len(CLAIMS)
        assert rows[0.7, 0.9] == Share(1, 2)
        assert rows[0.97, 1.0] == Share(1, 1)

    def test_the_interval_is_wilsons(self) -> None:
        low, high = Share(9, 10).interval
        assert (low, high) == (pytest.approx(0.596, abs=1e-3), pytest.approx(0.982, abs=1e-3))
        assert Share(10, 10).interval[1] == 1.0

    def test_the_curve_goes_from_the_surest_down(self, tmp_path: Path) -> None:
        points = curve(CLAIMS, EXPECTED)
        assert points[0] == (0.99, 1.0, pytest.approx(1 / 3))
        assert points[-1] == (0.4, 0.5, pytest.approx(2 / 3))
        path = tmp_path / "curve.png"
        draw_curve(path, {"all": points}, threshold=0.7, goal=(0.99, 0.9), title="a curve")
        empty = tmp_path / "empty.png"
        draw_curve(empty, {}, threshold=0.7, goal=(0.99, 0.9), title="a curve")
        assert (cv2.imread(str(path)) != cv2.imread(str(empty))).any()


class TestFit:
    def test_finds_the_weights_that_made_the_labels(self) -> None:
        random = np.random.default_rng(1)
        traits = random.normal(size=(20_000, 2)) * [1, 5]
        chance = 1 / (1 + np.exp(-(2 * traits[:, 0] - 0.3 * traits[:, 1] + 0.5)))
        model = fit(traits, random.random(20_000) < chance, np.ones(20_000), (1, -1))
        assert model.weights == pytest.approx([2, -0.3], abs=0.1)
        assert model.bias == pytest.approx(0.5, abs=0.1)

    def test_a_weight_against_its_sense_is_none(self) -> None:
        random = np.random.default_rng(1)
        traits = random.normal(size=(2_000, 2))
        model = fit(traits, traits[:, 0] - traits[:, 1] > 0, np.ones(2_000), (1, 1))
        assert model.weights[1] == 0
        assert model.weights[0] > 0


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path / "products", tmp_path / "backgrounds")
    for folder, first in ((made.products, 0), (made.backgrounds, 500)):
        folder.mkdir()
        for number in range(first, first + 40):
            picture = product_picture(number, width=400, height=300)
            cv2.imwrite(str(folder / f"picture-{chr(97 + number % 20)}-{number % 2 + 1}.png"), picture)
    return made


class TestSets:
    def test_share_no_product_background_or_series(self, folders: Folders, tmp_path: Path) -> None:
        sets = [pictures_of(name, tmp_path, folders) for name in SET_NAMES]
        names, backgrounds = (
            [{one.name[: len("picture-a")] for one in (*pictures.products, *pictures.strangers)} for pictures in sets],
            [{one.tobytes() for one in (*pictures.backgrounds, *pictures.clutter)} for pictures in sets],
        )
        assert names[0]
        assert names[1]
        assert not names[0] & names[1]
        assert not backgrounds[0] & backgrounds[1]

    def test_every_product_appears_twice_and_the_same_seed_draws_the_same(
        self, folders: Folders, tmp_path: Path
    ) -> None:
        pictures = pictures_of("test", tmp_path, folders)
        truths = plans("test", 3, pictures)
        assert truths == plans("test", 3, pictures)
        assert truths != plans("test", 4, pictures)
        shown = [one.product for truth in truths for one in truth.appearances if one.known]
        assert set(shown) == {one.name for one in pictures.products}
        assert len(shown) <= 2 * len(pictures.products)
        assert any(not any(one.known for one in truth.appearances) for truth in truths)

    @pytest.mark.parametrize("videos_max", [1, 4, 1000])
    def test_of_few_videos_none_is_twice(self, folders: Folders, tmp_path: Path, videos_max: int) -> None:
        pictures = pictures_of("test", tmp_path, folders)
        every = [truth.video for truth in plans("test", 3, pictures)]
        some = [truth.video for truth in plans("test", 3, pictures, videos_max=videos_max)]
        assert len(some) == len(set(some)) == min(videos_max, len(every))
        assert some[-1] == every[-1]

    def test_too_few_pictures_say_how_many_are_needed(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="Give more pictures"):
            pictures_of("test", tmp_path, Folders(tmp_path, tmp_path))


def test_runs_on_anybodys_pictures(folders: Folders, tmp_path: Path) -> None:
    out = tmp_path / "curve.png"
    command = [sys.executable, BENCHMARKS / "match_accuracy.py", "--products", folders.products]
    command += ["--backgrounds", folders.backgrounds, "--quick", "--json", "--data", tmp_path / "data", "--out", out]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["videos"] == 6
    assert report["textured"]["recall"]["whole"] > 0
    assert report["textured"]["recall"]["value"] > 0.5
    assert set(report["ms_per_frame"]) >= {"decode and choose", "embedding", "keypoints", "matching"}
    assert cv2.imread(str(out)) is not None
    assert "test set, seed 1: 6 of 6" in done.stderr
