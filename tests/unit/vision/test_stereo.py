"""Two views of a picture: points move by half their disparity, the near hides the far, and nothing stays empty."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelwork.vision.opencv import Picture
from reelwork.vision.stereo import LAYOUTS, anaglyph, render_views, side_by_side, side_by_side_half

HEIGHT, WIDTH = 24, 64


def texture(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Picture:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(disparity: float) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), disparity, np.float32)


class TestViews:
    @pytest.mark.parametrize("disparity", [-8, 0, 6])
    def test_a_plane_moves_as_a_whole(self, disparity: int) -> None:
        picture, half = texture(), disparity // 2
        left, right = render_views(picture, flat(disparity))
        inner = slice(10, WIDTH - 10)
        assert np.array_equal(left[:, inner], np.roll(picture, half, axis=1)[:, inner])
        assert np.array_equal(right[:, inner], np.roll(picture, -half, axis=1)[:, inner])

    def test_what_is_near_hides_what_is_far_in_both_views(self) -> None:
        """A white board before a black wall is as wide in each view as in the picture."""
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        picture[:, 24:40] = 255
        disparity = flat(-4)
        disparity[:, 24:40] = 8
        left, right = render_views(picture, disparity)
        assert np.flatnonzero(left[12, :, 0] == 255).tolist() == list(range(28, 44))
        assert np.flatnonzero(right[12, :, 0] == 255).tolist() == list(range(20, 36))

    def test_what_comes_into_sight_is_filled_with_the_background(self) -> None:
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        picture[..., 1] = np.arange(WIDTH, dtype=np.uint8)[None]  # the wall grows brighter to the right
        picture[:, 24:40] = 255
        disparity = flat(0)
        disparity[:, 24:40] = 8
        left, right = render_views(picture, disparity)
        assert left[12, 24:28, 1].tolist() == [22, 21, 20, 19], "left of the board the wall goes on, mirrored"
        assert right[12, 36:40, 1].tolist() == [44, 43, 42, 41]

    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 1000), reach=st.floats(0, 30))
    def test_every_pixel_of_a_view_is_one_of_its_row(self, seed: int, reach: float) -> None:
        """Whatever the disparities: nothing is invented, nothing is left empty."""
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        picture[:] = np.arange(10, 10 + HEIGHT, dtype=np.uint8)[:, None, None]
        disparity = np.random.default_rng(seed).uniform(-reach, reach, (HEIGHT, WIDTH)).astype(np.float32)
        for view in render_views(picture, disparity):
            assert np.array_equal(view, picture)

    @pytest.mark.parametrize(
        "disparity",
        [np.zeros((HEIGHT, WIDTH + 1), np.float32), flat(float("nan")), flat(float("inf")), flat(10_000)],
    )
    def test_disparities_that_cannot_be(self, disparity: np.ndarray) -> None:
        with pytest.raises(ValueError, match="disparit"):
            render_views(texture(), disparity)


class TestLayouts:
    @pytest.mark.parametrize("width", [WIDTH, WIDTH + 1])
    def test_sizes(self, width: int) -> None:
        left, right = texture(1, width=width), texture(2, width=width)
        assert side_by_side(left, right).shape == (HEIGHT, 2 * width, 3)
        assert side_by_side_half(left, right).shape == left.shape
        assert anaglyph(left, right).shape == left.shape

    def test_side_by_side_is_left_then_right(self) -> None:
        left, right = texture(1), texture(2)
        both = side_by_side(left, right)
        assert np.array_equal(both[:, :WIDTH], left)
        assert np.array_equal(both[:, WIDTH:], right)

    def test_half_width_averages_two_columns(self) -> None:
        left, right = texture(1), texture(2)
        half = side_by_side_half(left, right).astype(int)
        pairs = left.reshape(HEIGHT, WIDTH // 2, 2, 3).astype(int).mean(axis=2)
        assert np.abs(half[:, : WIDTH // 2] - pairs).max() <= 1

    def test_the_anaglyph_is_red_of_the_left_and_cyan_of_the_right(self) -> None:
        white, black = np.full((2, 2, 3), 255, np.uint8), np.zeros((2, 2, 3), np.uint8)
        blue, green, red = anaglyph(white, black)[0, 0].tolist()
        assert red > 250
        assert (blue, green) == (0, 0)
        blue, green, red = anaglyph(black, white)[0, 0].tolist()
        assert red == 0
        assert min(blue, green) > 250

    def test_gray_without_depth_stays_gray(self) -> None:
        gray = np.full((2, 2, 3), 120, np.uint8)
        assert np.abs(anaglyph(gray, gray).astype(int) - 120).max() <= 3

    def test_every_mode_has_one(self) -> None:
        from reelwork.events import MODES

        assert set(LAYOUTS) == set(MODES)
