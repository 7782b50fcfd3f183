"""Fetches the pictures of one product: each decoded in safety, none twice, as many as are usable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from reelwork.errors import PermanentError
from reelwork.objects import ObjectStore
from reelwork.objects.keys import job_of_input
from reelwork.pipelines.match.access import Access
from reelwork.pipelines.match.sources.product import BrokenEntry, Product
from reelwork.pipelines.match.sources.upload import OBJECT_SCHEME
from reelwork.pipelines.match.web import DownloadTooLarge, Limits
from reelwork.vision.opencv import Picture
from reelwork.vision.safe_image import PIXELS_MAX, decode_image

PICTURE_LIMITS: Final = Limits(bytes_max=32 * 1024**2, seconds_max=60)
PICTURE_SIDE_MIN: Final = 32
"""A smaller one is an icon or a tracking pixel."""


class NoUsableImage(PermanentError):
    """No picture of a product can be used; the text says of each why not."""


class ImageTooSmall(PermanentError):
    """A picture is too small to recognise anything by."""


@dataclass(frozen=True, slots=True)
class ProductImage:
    """sha256: of the pixels, so that the same picture in two files is known. data: the file as it came."""

    image_id: str
    sha256: str
    picture: Picture
    data: bytes


def fetch_images(
    product: Product, access: Access, objects: ObjectStore, *, uploads_prefix: str, pixels_max: int = PIXELS_MAX
) -> Iterator[ProductImage | BrokenEntry]:
    """The usable pictures of a product in their order, and why the others are not.

    uploads_prefix: of the object keys that this job may name. NoUsableImage when there are none; DownloadUnavailable
    when a server does not answer now, so that all is tried again rather than a picture lost.
    """
    seen: set[str] = set()
    broken: list[BrokenEntry] = []
    for image in product.images:
        try:
            data = _read(image.location, access, objects, uploads_prefix)
            picture = decode_image(data, pixels_max=pixels_max)
            _refuse_too_small(picture)
        except PermanentError as error:
            broken.append(BrokenEntry(image.location, str(error)))
            yield broken[-1]
            continue
        sha256 = _sha256_of(picture)
        if sha256 not in seen:
            seen.add(sha256)
            yield ProductImage(image.image_id, sha256, picture, data)
    if not seen:
        reasons = "; ".join(map(str, broken)) or "it has none"
        raise NoUsableImage(f"product {product.title!r} has no usable picture: {reasons}")


def _read(location: str, access: Access, objects: ObjectStore, uploads_prefix: str) -> bytes:
    if location.startswith(OBJECT_SCHEME):
        key = location.removeprefix(OBJECT_SCHEME)
        if not key.startswith(uploads_prefix) or job_of_input(key) is None:
            raise NoUsableImage("this is no upload of this job")
        _refuse_too_long(objects.size(key))
        return objects.get(key)
    if location.startswith(("http://", "https://")):
        return access.fetcher.read(location, expected="a picture", limits=PICTURE_LIMITS)[1]
    path = access.path(location)
    try:
        if not path.is_file():
            raise NoUsableImage("this is not a file")  # a pipe would never end
        _refuse_too_long(path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise NoUsableImage(f"the file cannot be read: {error.strerror}") from error


def _refuse_too_long(size: int) -> None:
    if size > PICTURE_LIMITS.bytes_max:
        raise DownloadTooLarge(f"the file is {size} bytes long; the limit of a picture is {PICTURE_LIMITS.bytes_max}")


def _refuse_too_small(picture: Picture) -> None:
    height, width = picture.shape[:2]
    if min(height, width) < PICTURE_SIDE_MIN:
        raise ImageTooSmall(f"the picture is only {width} x {height} pixels; {PICTURE_SIDE_MIN} a side is the least")


def _sha256_of(picture: Picture) -> str:
    digest = hashlib.sha256(repr(picture.shape).encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()
