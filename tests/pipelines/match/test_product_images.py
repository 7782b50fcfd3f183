"""The pictures of a product as they arrive: usable ones once, and of each other one why not."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reelwork.errors import PermanentError
from reelwork.objects import ObjectStore, open_objects
from reelwork.pipelines.match.access import Access
from reelwork.pipelines.match.sources import BrokenEntry, ImageRef, Product
from reelwork.pipelines.match.sources.images import PICTURE_LIMITS, NoUsableImage, ProductImage, fetch_images
from reelwork.pipelines.match.web import DownloadUnavailable
from tests.pipelines.match.conftest import textured
from tests.web_server import OTHER_LOCALHOST, Answer, WebServer, web_server

UPLOADS = "input/mine/"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as served:
        yield served


@pytest.fixture
def objects() -> ObjectStore:
    return open_objects("memory://")


def encoded(seed: int, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(textured(seed)[:, :, ::-1])).save(buffer, kind, **options)
    return buffer.getvalue()


def product(*locations: object) -> Product:
    images = (ImageRef(f"mug.{number:02d}", str(location)) for number, location in enumerate(locations))
    return Product("mug", "A mug", tuple(images))


def fetched(given: Product, access: Access, objects: ObjectStore) -> tuple[list[ProductImage], list[str]]:
    found = list(fetch_images(given, access, objects, uploads_prefix=UPLOADS))
    images = [one for one in found if isinstance(one, ProductImage)]
    return images, [str(one) for one in found if isinstance(one, BrokenEntry)]


class TestUsable:
    def test_files_addresses_and_uploads(
        self, tmp_path: Path, server: WebServer, access: Access, objects: ObjectStore
    ) -> None:
        (tmp_path / "a.png").write_bytes(encoded(1))
        url = server.serve("/b.png", encoded(2), "image/png")
        objects.put(f"{UPLOADS}products/00000", encoded(3))
        given = product(tmp_path / "a.png", url, f"object:{UPLOADS}products/00000")
        images, told = fetched(given, access, objects)
        assert [image.image_id for image in images] == ["mug.00", "mug.01", "mug.02"]
        assert all(np.array_equal(image.picture, textured(seed)) for seed, image in enumerate(images, start=1))
        assert images[0].data == encoded(1)
        assert told == []

    def test_the_same_picture_counts_once_however_it_is_packed(
        self, tmp_path: Path, access: Access, objects: ObjectStore
    ) -> None:
        for name, data in {"a": encoded(1), "b": encoded(1, compress_level=1), "c": encoded(1, "BMP")}.items():
            (tmp_path / name).write_bytes(data)
        (tmp_path / "d").write_bytes(encoded(2))
        images, _ = fetched(product(*(tmp_path / name for name in "abcd")), access, objects)
        assert [image.image_id for image in images] == ["mug.00", "mug.03"]


class TestUnusable:
    def test_each_is_told_and_the_others_go_on(
        self, tmp_path: Path, server: WebServer, access: Access, objects: ObjectStore
    ) -> None:
        (tmp_path / "svg.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
        (tmp_path / "broken.png").write_bytes(encoded(1)[:200])
        (tmp_path / "icon.png").write_bytes(_flat(16, 16))
        (tmp_path / "large.jpg").touch()
        os.truncate(tmp_path / "large.jpg", PICTURE_LIMITS.bytes_max + 1)
        (tmp_path / "good.png").write_bytes(encoded(1))
        objects.put("input/other/a", encoded(2))
        os.mkfifo(tmp_path / "pipe.jpg")
        page = server.serve("/page.jpg", b"<!doctype html>Sign in", "text/html")
        absent = server.url("/absent.jpg")
        private = server.redirect("/moved.jpg", f"http://{OTHER_LOCALHOST}:{server.port}/secret")
        files = [
            tmp_path / name for name in ("svg.svg", "broken.png", "icon.png", "large.jpg", "absent.jpg", "pipe.jpg")
        ]
        given = product(*files, "/etc/passwd", "object:input/other/a", page, absent, private, tmp_path / "good.png")
        images, told = fetched(given, access, objects)
        assert [image.image_id for image in images] == ["mug.11"]
        expected = [
            "SVG",
            "damaged",
            "only 16 x 16 pixels",
            "the limit of a picture is",
            "does not exist",
            "not a file",
            "REELWORK_SOURCE_FOLDERS",
            "no upload of this job",
            "web page (HTML), not a picture",
            "answered 404",
            "not a public address",
        ]
        assert [words in line for words, line in zip(expected, told, strict=True)] == [True] * len(expected), told

    def test_a_product_without_any_says_why(self, tmp_path: Path, access: Access, objects: ObjectStore) -> None:
        (tmp_path / "a.png").write_text("text")
        with pytest.raises(NoUsableImage, match=r"product 'A mug' has no usable picture: .*a\.png: ") as error:
            fetched(product(tmp_path / "a.png"), access, objects)
        assert isinstance(error.value, PermanentError)
        with pytest.raises(NoUsableImage, match="it has none"):
            fetched(product(), access, objects)

    def test_too_many_pixels_are_refused_before_they_are_decoded(
        self, tmp_path: Path, access: Access, objects: ObjectStore
    ) -> None:
        (tmp_path / "a.png").write_bytes(encoded(1))
        with pytest.raises(NoUsableImage, match="the limit is 1,000"):
            list(fetch_images(product(tmp_path / "a.png"), access, objects, uploads_prefix=UPLOADS, pixels_max=1000))

    def test_a_server_that_is_down_for_now_loses_no_picture(
        self, tmp_path: Path, server: WebServer, access: Access, objects: ObjectStore
    ) -> None:
        (tmp_path / "good.png").write_bytes(encoded(1))
        server.routes["/b.png"] = lambda _: Answer(status=503, headers={"Retry-After": "999"})
        with pytest.raises(DownloadUnavailable, match="answered 503"):
            fetched(product(tmp_path / "good.png", server.url("/b.png")), access, objects)


def _flat(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()
