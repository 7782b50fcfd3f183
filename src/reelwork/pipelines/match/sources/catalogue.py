"""A list of products in a file: CSV, or one JSON object a line, with links to pictures; here or at an address.

Columns go by the names that shops export (Google's product data specification among them). What is wrong in one line is
told with its number; the others count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urljoin, urlsplit

from reelwork.errors import PermanentError
from reelwork.pipelines.match.access import Access
from reelwork.pipelines.match.sources.base import ProductSource, SourceUnusable
from reelwork.pipelines.match.sources.lines import Line, csv_records, text_lines
from reelwork.pipelines.match.sources.product import BrokenEntry, Entry
from reelwork.pipelines.match.web import Limits, looks_like_html
from reelwork.pipelines.match.web.guard import without_secrets

CATALOGUE_LIMITS: Final = Limits(bytes_max=256 * 1024**2, seconds_max=300)

KEY_COLUMNS: Final = ("id", "product_id", "sku", "handle", "gtin", "mpn")
TITLE_COLUMNS: Final = ("title", "name", "product_name")
PICTURE_COLUMNS: Final = (
    "image_link",
    "image",
    "image_url",
    "image_src",
    "images",
    "image_links",
    "image_urls",
    "additional_image_link",
    "additional_image_links",
)

_BETWEEN_LINKS: Final = re.compile(r"\s*[|\n]\s*|,\s*(?=https?://)|\s+(?=https?://)")


class CatalogueSource(ProductSource):
    """location: a file below a folder that jobs may read, or an http(s) address.

    A link to a picture is absolute, or relative to the catalogue. Lines with the same key are one product.
    """

    name: ClassVar[str] = "catalogue"
    location: str

    def check(self, access: Access) -> None:
        if self._is_remote:
            access.fetcher.guard.check_url(self.location)
        else:
            self._file(access)

    def entries(self, access: Access) -> Iterator[Entry | BrokenEntry]:
        data, place = self._read(access)
        if looks_like_html(data):
            raise SourceUnusable(
                f"{without_secrets(self.location)!r} is a web page (HTML), not a catalogue in CSV or JSON lines"
            )
        merged: dict[str, Entry] = {}
        for entry in _entries_of(data, place):
            if isinstance(entry, BrokenEntry):
                yield entry
            elif entry.key in merged:
                known = merged[entry.key]
                merged[entry.key] = Entry(known.key, known.title, known.locations + entry.locations)
            else:
                merged[entry.key] = entry
        if not merged:
            yield BrokenEntry(self.location, "the catalogue holds no usable product")
        yield from merged.values()

    @property
    def _is_remote(self) -> bool:
        return urlsplit(self.location).scheme in ("http", "https")

    def _file(self, access: Access) -> Path:
        path = access.path(self.location)
        if not path.is_file():
            raise SourceUnusable(f"{self.location!r} is not a file; a folder of pictures is the source 'folder'")
        return path

    def _read(self, access: Access) -> tuple[bytes, _Place]:
        if self._is_remote:
            fetched, data = access.fetcher.read(
                self.location, expected="a catalogue in CSV or JSON lines", limits=CATALOGUE_LIMITS
            )
            return data, _Place(fetched.url, None, access)
        path = self._file(access)
        try:
            size = path.stat().st_size
            if size > CATALOGUE_LIMITS.bytes_max:
                raise SourceUnusable(
                    f"{self.location!r} is {size} bytes long; the limit is {CATALOGUE_LIMITS.bytes_max}; split it"
                )
            return path.read_bytes(), _Place("", path.parent, access)
        except OSError as error:
            raise SourceUnusable(f"{self.location!r} cannot be read: {error.strerror}") from error


class _Place:
    """Where a catalogue lies, and so what its links may mean."""

    def __init__(self, url: str, folder: Path | None, access: Access) -> None:
        self._url = url
        self._folder = folder
        self._access = access

    def location(self, link: str) -> str:
        """An address or an absolute path. DownloadRefused or PathRefused, a line each."""
        if self._folder is not None and not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", link):
            return str(self._access.path(str(self._folder / link)))
        url = urljoin(self._url, link)
        self._access.fetcher.guard.check_url(url)
        return url


def _entries_of(data: bytes, place: _Place) -> Iterator[Entry | BrokenEntry]:
    is_json = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"
    lines = text_lines(data)
    for number, fields in _json_records(lines) if is_json else csv_records(lines):
        if isinstance(fields, str):
            yield BrokenEntry(f"line {number}", fields)
        else:
            yield from _entry(f"line {number}", fields, place)


def _json_records(lines: Iterator[Line]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    for number, text in lines:
        if isinstance(text, str) and not text.strip():
            continue
        if not isinstance(text, str):
            yield number, text.reason
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield number, f"this is not JSON: {error}"
            continue
        yield number, record if isinstance(record, dict) else 'this is JSON, and not an object like {"id": ...}'


def _entry(where: str, fields: Mapping[str, Any], place: _Place) -> Iterator[Entry | BrokenEntry]:
    """The product of one line, and what is wrong with some of its links."""
    named = {re.sub(r"[^a-z0-9]+", "_", str(name).strip().lower()): value for name, value in fields.items()}
    key = next((text for name in KEY_COLUMNS if (text := _text(named.get(name)))), "")
    if not key:
        yield BrokenEntry(where, f"there is no id; name its column one of: {', '.join(KEY_COLUMNS)}")
        return
    links = [link for name in PICTURE_COLUMNS for link in _links(named.get(name))]
    if not links:
        yield BrokenEntry(where, f"there is no link to a picture; name its column one of: {', '.join(PICTURE_COLUMNS)}")
        return
    locations = []
    for link in links:
        try:
            locations.append(place.location(link))
        except PermanentError as error:
            yield BrokenEntry(where, str(error))
    title = next((text for name in TITLE_COLUMNS if (text := _text(named.get(name)))), key)
    if locations:
        yield Entry(key, title, tuple(locations))


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _links(value: Any) -> list[str]:
    """Of one field: a link, several joined by | or by commas, a list of them, or objects that hold one each."""
    if isinstance(value, str):
        return [link for link in _BETWEEN_LINKS.split(value.strip()) if link]
    if isinstance(value, list):
        return [link for one in value for link in _links(one)]
    if isinstance(value, dict):
        return _links(value.get("src") or value.get("url") or value.get("link"))
    return []
