"""Videos and products that a person would call the same are called apart; all others keep their short names."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from reelwork.pipelines.match.sources import ImageRef, Product
from reelwork.pipelines.match.titles import called_apart, products_called_apart
from reelwork.pipelines.match.videos import TITLE_CHARACTERS_MAX, Video


def titles(*names: str) -> list[str]:
    videos = [Video(str(n), PurePosixPath(name).stem, name, name) for n, name in enumerate(names)]
    titled = list(called_apart(videos))
    assert [video.video_id for video in titled] == [video.video_id for video in videos]
    return [video.title for video in titled]


# (names, titles)
@pytest.mark.parametrize(
    ("names", "called"),
    [
        (["/v/a.mp4", "/v/b.mp4"], ["a", "b"]),
        (["/v/a.mp4", "/v/a.mov", "/v/b.mp4"], ["a.mp4", "a.mov", "b"]),
        (["/v/north/a.mp4", "/v/south/a.mp4"], ["north/a.mp4", "south/a.mp4"]),
        (["/v/north/a.mp4", "/v/south/a.mp4", "/v/south/a.mov"], ["north/a.mp4", "south/a.mp4", "a.mov"]),
        (["/v/x/1/a.mp4", "/v/y/1/a.mp4"], ["x/1/a.mp4", "y/1/a.mp4"]),
        (["/a.mp4", "/v/a.mp4"], ["a.mp4", "v/a.mp4"]),
        (["host/watch", "host/watch", "host/watch"], ["host/watch", "host/watch (2)", "host/watch (3)"]),
        (["/v/a.mp4", "/v/a.mov", "/v/a.mp4.mkv"], ["a.mp4 (2)", "a.mov", "a.mp4"]),
        ([], []),
    ],
)
def test_titles(names: list[str], called: list[str]) -> None:
    assert titles(*names) == called


def test_long_names_stay_apart() -> None:
    long = "x" * 300
    called = titles(f"/north/{long}/a.mp4", f"/south/{long}/a.mp4")
    assert len(set(called)) == 2
    assert all(len(one) <= TITLE_CHARACTERS_MAX + len(" (2)") for one in called)


# (title, first picture, what it is called)
@pytest.mark.parametrize(
    "products",
    [
        [
            ("mug", "/x/first/mug/0.png", "first/mug"),
            ("mug", "/x/second/mug_1.png", "second/mug"),
            ("cap", "/x/c", "cap"),
        ],
        [("Mug", "https://h/1", "Mug (0)"), ("Mug", "https://h/1", "Mug (1)")],
        [("a/b", "https://h/1", "a/b (0)"), ("a/b", "/x/0.png", "a/b")],
    ],
)
def test_products(products: list[tuple[str, str, str]]) -> None:
    given = [Product(str(n), title, (ImageRef("i", place),)) for n, (title, place, _) in enumerate(products)]
    assert [product.title for product in products_called_apart(given)] == [called for *_, called in products]


def test_many_of_one_name_are_told_apart_quickly() -> None:
    assert len(set(titles(*(f"/v/{n}/a.mp4" for n in range(10_000))))) == 10_000
