from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reelwork.pipelines.match.matching import (
    Catalogue,
    FrameFeatures,
    ImageFeatures,
    ProductFeatures,
    VideoFeatures,
    find_matches,
    find_matches_in_video,
)
from reelwork.vision.opencv import Picture, cv2
from tests.pipelines.match.matching.conftest import Scene
from tests.pipelines.match.pictures import background, detector, placed, product, product_picture, video

BOX = product_picture(1)


class TestWhatIsFound:
    @pytest.mark.parametrize(
        ("scale", "turn", "tilt"),
        [
            (1.0, 0, 0),
            (0.4, 0, 0),  # far away
            (0.8, 90, 0),  # on its side
            (0.8, -160, 0),
            (0.8, 10, 0.4),  # askance
        ],
    )
    def test_a_product_and_the_true_place_of_every_inlier(self, scale: float, turn: float, tilt: float) -> None:
        frame, truth = placed(background(1), BOX, middle=(480, 270), scale=scale, turn=turn, tilt=tilt)
        match = find_matches(product("box", BOX), video("v", frame))
        assert match is not None
        assert match.method == "geometry"
        assert match.score > 0.9
        points = np.array(match.best_pair.inlier_points)
        expected = cv2.perspectiveTransform(points[None, :, :2], truth)[0]
        missed_by = np.linalg.norm(expected - points[:, 2:], axis=1)
        assert np.quantile(missed_by, 0.9) < 4

    def test_the_homography_says_where_the_product_is(self) -> None:
        frame, truth = placed(background(1), BOX, middle=(400, 250), scale=0.9, turn=20, tilt=0.2)
        match = find_matches(product("box", BOX), video("v", frame))
        assert match is not None
        corners = np.float32([[[0, 0], [300, 0], [300, 400], [0, 400]]])
        found = cv2.perspectiveTransform(corners, np.array(match.best_pair.homography))
        assert np.abs(found - cv2.perspectiveTransform(corners, truth)).max() < 8

    def test_a_product_of_which_forty_percent_are_hidden(self) -> None:
        frame, _ = placed(background(1), BOX, middle=(480, 270), scale=0.9)
        frame[:, :454] = background(2)[:, :454]  # the product lies between x = 345 and x = 615
        match = find_matches(product("box", BOX), video("v", frame))
        assert match is not None
        assert min(x for _, _, x, _ in match.best_pair.inlier_points) >= 450

    def test_of_several_pictures_the_one_that_fits(self) -> None:
        frame, _ = placed(background(1), product_picture(2), middle=(480, 270))
        match = find_matches(product("box", BOX, product_picture(2)), video("v", frame))
        assert match is not None
        assert match.best_pair.image_id == "box-1"


class TestWhatOnlyPixelsKnow:
    def test_a_smooth_thing_far_away(self, cup: Scene) -> None:
        seen = video("v", cup.frame)
        match = find_matches(product("cup", cup.product), seen)
        assert match is not None
        outline = np.float32([[[0, 0], [360, 0], [360, 320], [0, 320]]])
        found = cv2.perspectiveTransform(outline, np.array(match.best_pair.homography))
        assert np.abs(found - cv2.perspectiveTransform(outline, cup.truth)).mean() < 10

    def test_is_not_seen_where_it_is_not(self, cup: Scene) -> None:
        assert find_matches(product("cup", cup.product), video("v", cup.without)) is None

    def test_frames_are_read_once_and_only_where_keypoints_leave_it_open(self, cup: Scene) -> None:
        reads: list[str] = []

        def watched(features: FrameFeatures, picture: Picture) -> FrameFeatures:
            def read() -> Picture:
                reads.append(features.frame_id)
                return picture

            return replace(features, picture=read)

        shown, _ = placed(background(1), BOX, middle=(480, 270))
        frames = video("v", shown, cup.frame).frames
        seen = [watched(one, picture) for one, picture in zip(frames, (shown, cup.frame), strict=True)]
        find_matches_in_video([product("box", BOX)], VideoFeatures("v", seen[:1]))
        assert reads == []
        find_matches_in_video([product("cup", cup.product)], VideoFeatures("v", seen[1:]))
        assert len(reads) <= 1


class TestWhatIsNot:
    def test_a_video_with_no_product(self) -> None:
        assert find_matches(product("box", BOX), video("v", background(1), background(2))) is None

    def test_another_product(self) -> None:
        frame, _ = placed(background(1), product_picture(2), middle=(480, 270))
        assert find_matches(product("box", BOX), video("v", frame)) is None

    def test_a_stranger_of_the_same_brand(self) -> None:
        """It shares its band with the box; nothing else."""
        stranger, _ = placed(background(1), product_picture(3, brand=7), middle=(480, 270), scale=1.1)
        assert find_matches(product("box", product_picture(1, brand=7)), video("v", stranger)) is None

    def test_siblings_of_one_brand_are_not_taken_for_each_other(self) -> None:
        siblings = [product(f"box-{seed}", product_picture(seed, brand=7)) for seed in (1, 2, 3)]
        frame, _ = placed(background(1), product_picture(2, brand=7), middle=(480, 270), scale=1.1)
        matches = find_matches_in_video(siblings, video("v", frame))
        assert [match.product_id for match in matches] == ["box-2"]

    def test_a_brand_alone_is_no_product(self) -> None:
        """Where all that siblings do not share is hidden, it can be any of them."""
        siblings = [product(f"box-{seed}", product_picture(seed, brand=7)) for seed in (1, 2)]
        frame, _ = placed(background(1), product_picture(2, brand=7)[:70], middle=(480, 270), scale=1.1)
        assert find_matches_in_video(siblings, video("v", frame)) == []

    @pytest.mark.parametrize("nothing", [video("v"), video("v", np.full((540, 960, 3), 90, np.uint8))])
    def test_nothing_to_look_at(self, nothing: VideoFeatures) -> None:
        assert find_matches(product("box", BOX), nothing) is None

    def test_no_products(self) -> None:
        assert find_matches_in_video([], video("v", background(1))) == []

    def test_a_product_without_pictures(self) -> None:
        assert find_matches_in_video([ProductFeatures("empty", [])], video("v", background(1))) == []


class TestWhen:
    def test_spans_cover_the_frames_that_show_it(self) -> None:
        shown, _ = placed(background(1), BOX, middle=(480, 270))
        frames = [background(1), background(1), shown, shown, shown, background(1), background(1), background(1), shown]
        match = find_matches(product("box", BOX), video("v", *frames))
        assert match is not None
        assert match.spans == ((1.5, 4.5), (7.5, 8.0))

    def test_frames_in_any_order_give_the_same(self) -> None:
        shown, _ = placed(background(1), BOX, middle=(480, 270))
        ordered = video("v", background(1), shown, shown)
        shuffled = VideoFeatures("v", list(reversed(ordered.frames)))
        one, other = find_matches(product("box", BOX), ordered), find_matches(product("box", BOX), shuffled)
        assert one == other
        assert one is not None


class TestManyAtOnce:
    def test_each_in_its_place_surest_first(self) -> None:
        frame, _ = placed(background(1), BOX, middle=(250, 270))
        frame, _ = placed(frame, product_picture(2), middle=(700, 270), scale=0.5)
        many = [product("box", BOX), product("tin", product_picture(2)), product("jar", product_picture(3))]
        matches = find_matches_in_video(many, video("v", frame))
        assert {match.product_id for match in matches} == {"box", "tin"}
        assert [match.score for match in matches] == sorted((match.score for match in matches), reverse=True)

    def test_a_catalogue_made_once_gives_the_same(self) -> None:
        many = [product("box", BOX), product("tin", product_picture(2))]
        frame, _ = placed(background(1), BOX, middle=(480, 270))
        seen = video("v", frame)
        assert find_matches_in_video(Catalogue(many), seen) == find_matches_in_video(many, seen)

    def test_a_lower_threshold_tells_more(self) -> None:
        plain = ProductFeatures(
            "plain", [ImageFeatures("p", _unit(1, 0), detector.detect(np.full((90, 90, 3), 200, np.uint8)))]
        )
        seen = VideoFeatures("v", [FrameFeatures("f", 2.0, _unit(1, 0.1), detector.detect(background(1)))])
        assert find_matches(plain, seen, score_minimum=0.9) is None
        match = find_matches(plain, seen, score_minimum=0.0)
        assert match is not None
        assert match.method == "embedding"
        assert (match.best_pair.homography, match.best_pair.inliers) == (None, 0)
        assert match.best_pair.ts == 2.0


def _unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)
