"""Pictures of strangers: what can be shown is shown as a viewer would; anything else is refused in words."""

from __future__ import annotations

import io
import random
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from reelwork.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from reelwork.vision.safe_image import decode_image

LEFT, RIGHT = (200, 40, 10), (20, 60, 220)  # red, green, blue
LOSSY = 12
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]


def two_halves(width: int = 64, height: int = 32) -> Image.Image:
    image = Image.new("RGB", (width, height), LEFT)
    image.paste(RIGHT, (width // 2, 0, width, height))
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def colour(picture: npt.NDArray[np.uint8], x: int, y: int) -> npt.NDArray[np.int64]:
    """Red, green, blue of a pixel of a BGR picture."""
    return picture[y, x, ::-1].astype(np.int64)


def near(found: npt.NDArray[np.int64], wanted: tuple[int, int, int], tolerance: int = LOSSY) -> bool:
    return bool(np.abs(found - wanted).max() <= tolerance)


@pytest.mark.parametrize("kind", FORMATS)
def test_colours_come_out_blue_first(kind: str) -> None:
    picture = decode_image(encoded(two_halves(), kind))
    assert picture.shape == (32, 64, 3)
    assert picture.dtype == np.uint8
    assert near(colour(picture, 8, 16), LEFT)
    assert near(colour(picture, 56, 16), RIGHT)


class TestKindsOfPixels:
    def test_cmyk(self) -> None:
        picture = decode_image(encoded(two_halves().convert("CMYK"), "JPEG", quality=95))
        assert near(colour(picture, 8, 16), LEFT)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_sixteen_bits_of_gray_keep_their_brightness(self, kind: str) -> None:
        ramp = np.repeat(np.array([[0, 0x4000, 0x8000, 0xFFFF]], np.uint16), 2, axis=0)
        picture = decode_image(encoded(Image.fromarray(ramp), kind))
        assert picture[0, :, 0].tolist() == [0, 0x40, 0x80, 0xFF]

    def test_sixteen_bits_of_colour_keep_their_brightness(self) -> None:
        raw = b"\0" + struct.pack(">3H", 0xC800, 0x2800, 0x0A00)
        picture = decode_image(_png(width=1, height=1, depth=16, colour_type=2, raw=raw))
        assert near(colour(picture, 0, 0), LEFT, 4)

    @pytest.mark.parametrize("mode", ["L", "1", "P"])
    def test_gray_and_palettes_become_colour(self, mode: str) -> None:
        assert decode_image(encoded(two_halves().convert(mode), "PNG")).shape == (32, 64, 3)

    def test_floating_point_is_refused_in_words(self) -> None:
        with pytest.raises(UnsupportedImage, match="32-bit samples"):
            decode_image(encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))

    @pytest.mark.parametrize(
        ("mode", "kind", "options"),
        [
            ("RGBA", "PNG", {}),
            ("RGBA", "WEBP", {"lossless": True}),
            ("LA", "PNG", {}),
            ("P", "GIF", {"transparency": 0}),  # one colour of the palette is clear
        ],
    )
    def test_what_is_transparent_is_white(self, mode: str, kind: str, options: dict[str, Any]) -> None:
        if mode == "P":
            image = Image.new("P", (8, 8), 0)
            image.putpalette([0, 0, 0, 10, 20, 30])
            image.paste(1, (4, 0, 8, 8))
        else:
            image = Image.new(mode, (8, 8), 0)
            image.paste((10, 20, 30, 255) if mode == "RGBA" else (20, 255), (4, 0, 8, 8))
        picture = decode_image(encoded(image, kind, **options))
        assert near(colour(picture, 1, 4), (255, 255, 255), 0)
        assert colour(picture, 6, 4).max() <= 30


class TestUprightness:
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_every_orientation_looks_the_same(self, orientation: int) -> None:
        scene = two_halves()
        scene.paste((255, 255, 255), (0, 0, 16, 8))  # a corner that tells all eight apart
        turned_back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that undoes the viewer's turn
        stored = scene.transpose(Image.Transpose(turned_back[orientation])) if orientation > 1 else scene
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = decode_image(encoded(stored, "JPEG", exif=exif, quality=95))
        assert picture.shape == (32, 64, 3)
        assert near(colour(picture, 4, 3), (255, 255, 255), 30)
        assert near(colour(picture, 4, 28), LEFT, 30)
        assert near(colour(picture, 60, 3), RIGHT, 30)

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
    def test_an_unreadable_exif_block_is_ignored(self) -> None:
        data = encoded(two_halves(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
        assert decode_image(data).shape == (32, 64, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_is_its_first_frame(kind: str) -> None:
    first, second = Image.new("RGB", (16, 16), LEFT), Image.new("RGB", (16, 16), RIGHT)
    picture = decode_image(encoded(first, kind, save_all=True, append_images=[second]))
    assert near(colour(picture, 8, 8), LEFT)


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "named"),
        [
            (b"", "an empty file"),
            (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
            (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- x --><SVG/>', "SVG"),
            (b"<!DOCTYPE html><html><body>Not found</body></html>", "HTML"),
            (b"%PDF-1.7", "PDF"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
            (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (b"Just some words in a file", "no picture of a known kind"),
        ],
    )
    def test_other_files_are_named(self, data: bytes, named: str) -> None:
        with pytest.raises(UnsupportedImage, match=named):
            decode_image(data)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
    def test_half_a_file_is_damaged(self, kind: str) -> None:
        data = encoded(Image.effect_noise((64, 64), 90).convert("RGB"), kind)
        with pytest.raises(UnreadableImage, match=r"damaged|known kind"):
            decode_image(data[: len(data) // 2])

    @pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (60_000, 60_000)])
    def test_a_huge_picture_is_refused_by_its_header(self, width: int, height: int) -> None:
        bomb = _png(width=width, height=height, depth=8, colour_type=2, raw=b"")
        with pytest.raises(ImageTooLarge, match=r"pixels"):
            decode_image(bomb)

    def test_the_limit_is_the_callers(self) -> None:
        data = encoded(two_halves(), "PNG")
        assert decode_image(data, pixels_max=64 * 32).shape == (32, 64, 3)
        with pytest.raises(ImageTooLarge, match="64 x 32 = 2,048 pixels; the limit is 2,047"):
            decode_image(data, pixels_max=64 * 32 - 1)

    @pytest.mark.parametrize("kind", FORMATS)
    def test_damaged_bytes_give_a_picture_or_a_refusal_and_nothing_else(self, kind: str) -> None:
        data = encoded(Image.effect_noise((24, 24), 90).convert("RGB"), kind)
        dice = random.Random(kind)
        refused = 0
        for _ in range(150):
            spoilt = bytearray(data)
            for _ in range(dice.randint(1, 6)):
                spoilt[dice.randrange(len(spoilt))] = dice.randrange(256)
            try:
                assert decode_image(bytes(spoilt), pixels_max=10_000).ndim == 3
            except UnreadableImage:
                refused += 1
        assert refused > 0


def _png(*, width: int, height: int, depth: int, colour_type: int, raw: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
