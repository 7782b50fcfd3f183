"""Turns the bytes of a stranger's picture into pixels, or says in one sentence why not.

Only the named formats are tried, so no file reaches an interpreter (PostScript, SVG) or an exotic decoder, and the size
that a header claims is held against the limit before a pixel is decoded. Colour profiles are not applied."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from reelwork.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from reelwork.vision.opencv import Picture, cv2

PIXELS_MAX: Final = 40_000_000
FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
FORMAT_NAMES: Final = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF"

_SNIFFED_BYTES: Final = 512
_ORIENTATION_TAG: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture upright, by its EXIF orientation (1, and any other number, is upright already)."""


def decode_image(data: bytes, *, pixels_max: int = PIXELS_MAX) -> Picture:
    """A (height, width, 3) BGR picture, upright as its EXIF says; transparency lies on white.

    Of an animation it is the first frame; 16-bit pictures and CMYK become 8-bit colour. UnsupportedImage for another
    kind of file, ImageTooLarge above `pixels_max`, UnreadableImage for a damaged one."""
    foreign = _foreign_kind(data)
    if foreign is not None:
        raise UnsupportedImage(f"this is {foreign}, not a picture that can be decoded; give {FORMAT_NAMES}")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _refuse_too_large(image.size, pixels_max)
            image.load()
            return _pixels(_upright(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"{error}; the limit here is {pixels_max:,} pixels") from error
    except (UnreadableImage, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UnsupportedImage(f"this is no picture of a known kind; give {FORMAT_NAMES}") from error
    except Exception as error:  # decoders of eight formats, on damaged bytes, raise nearly everything there is
        raise UnreadableImage(f"the picture is damaged: {error or type(error).__name__}") from error


def _refuse_too_large(size: tuple[int, int], pixels_max: int) -> None:
    width, height = size
    if width * height > pixels_max:
        raise ImageTooLarge(
            f"the picture is {width} x {height} = {width * height:,} pixels; the limit is {pixels_max:,}"
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # an EXIF block that cannot be read says nothing; viewers ignore it as well
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _pixels(image: Image.Image) -> Picture:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        gray = (np.asarray(image) >> 8).astype(np.uint8)
        return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)
    if image.mode in ("I", "F"):
        raise UnsupportedImage("the picture has 32-bit samples whose range is not known; give one with 8 or 16 bits")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
    rgb = np.asarray(image.convert("RGB"), np.uint8)
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)


def _foreign_kind(data: bytes) -> str | None:
    """What people give instead of a picture, by its first bytes."""
    if not data:
        return "an empty file"
    start = data[:_SNIFFED_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start):
        return "an SVG drawing"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page"
    if start.startswith(b"%pdf"):
        return "a PDF document"
    if start.startswith(b"%!ps"):
        return "a PostScript document"
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        if brand in (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1") and b"avif" not in data[8:64]:
            return "a HEIC picture"
        if not brand.startswith(b"avi"):
            return "a video"
    return None
