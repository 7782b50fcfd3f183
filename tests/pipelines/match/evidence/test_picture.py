from __future__ import annotations

import numpy as np

from reelwork.pipelines.match.evidence import draw_evidence, evidence_picture, outline_of
from reelwork.pipelines.match.evidence.picture import LINE, OUTLINE, WIDTH
from reelwork.pipelines.match.matching import Match, Pair, find_matches
from reelwork.vision.opencv import cv2
from tests.pipelines.match.pictures import background, placed, product, product_picture, video

BOX = product_picture(1)
FRAME, TRUTH = placed(background(1), BOX, middle=(480, 270), turn=15)


def _match() -> Match:
    match = find_matches(product("box", BOX), video("v", FRAME))
    assert match is not None
    return match


def _near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture.astype(int) - colour).max(axis=2) < 40


class TestEvidencePicture:
    def test_outlines_the_product_where_it_is(self) -> None:
        drawn = draw_evidence(BOX, FRAME, _match())
        with_line = _near(drawn, OUTLINE)
        left = WIDTH - 24 - 1112  # the frame is drawn at the right, 1112 pixels wide
        corners = cv2.perspectiveTransform(np.float32([[[0, 0], [299, 0], [299, 399], [0, 399]]]), TRUTH)[0]
        factor = 1112 / 960
        for x, y in corners * factor + (left, 74):
            around = with_line[round(y) - 9 : round(y) + 9, round(x) - 9 : round(x) + 9]
            assert around.any()

    def test_lines_join_true_places_in_both_pictures(self) -> None:
        drawn = draw_evidence(BOX, FRAME, _match())
        dots = _near(drawn, LINE)
        assert dots[:, : 24 + 420].sum() > 100
        assert dots[:, 24 + 420 + 20 :].sum() > 100

    def test_shows_the_product_straightened(self) -> None:
        """The lower left picture is the frame's part seen from the product's point of view: much like the product."""
        plain = draw_evidence(np.zeros_like(BOX), FRAME, _match())
        expected = draw_evidence(np.zeros_like(BOX), np.zeros_like(FRAME), _match())
        lower = slice(plain.shape[0] // 2, None)
        assert np.abs(plain[lower, :444].astype(int) - expected[lower, :444]).mean() > 10

    def test_without_geometry_nothing_is_drawn_over_the_pictures(self) -> None:
        pair = Pair(image_id="i", frame_id="f", ts=1, inliers=0, homography=None, inlier_points=())
        match = Match(product_id="p", video_id="v", score=0.4, method="embedding", best_pair=pair, spans=((0, 1),))
        drawn = draw_evidence(BOX, np.zeros_like(FRAME), match)
        assert not drawn[80:700, 480:1560].any()

    def test_is_a_jpeg(self) -> None:
        data = evidence_picture(BOX, FRAME, _match(), product_title="Büchse " * 40, video_title="v")
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert decoded.shape[1] == WIDTH
        assert data[:2] == b"\xff\xd8"

    def test_tall_and_tiny_pictures_fit(self) -> None:
        for product_shape, frame_shape in [((900, 60), (1920, 1080)), ((8, 8), (9, 16)), ((60, 900), (270, 1280))]:
            picture = np.full((*product_shape, 3), 200, np.uint8)
            assert draw_evidence(picture, np.zeros((*frame_shape, 3), np.uint8), _match()).shape[1] == WIDTH


class TestOutline:
    def test_of_what_stands_before_a_plain_background(self) -> None:
        picture = np.full((200, 300, 3), 245, np.uint8)
        cv2.rectangle(picture, (50, 40), (250, 160), (30, 60, 200), -1)
        outline = outline_of(picture)
        assert outline.min(axis=0).tolist() == [50, 40]
        assert outline.max(axis=0).tolist() == [250, 160]

    def test_of_a_picture_that_is_all_product(self) -> None:
        assert outline_of(BOX).tolist() == [[0, 0], [299, 0], [299, 399], [0, 399]]

    def test_of_an_empty_picture(self) -> None:
        assert len(outline_of(np.full((50, 60, 3), 255, np.uint8))) == 4
